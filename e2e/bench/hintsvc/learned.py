"""A model for the leader to run beside the law, trained by the command line as an operator would."""

import asyncio
import math
import random
import sys
from pathlib import Path
from typing import Any, Final

from e2e.bench.hintsvc.policy import UID
from e2e.commands import run

VERSION: Final = "bench"
_SECONDS: Final = 600
_PERIOD_S: Final = 25
_BEGAN: Final = 1_795_000_000
_TRAINED_S: Final = 240.0
_SEED: Final = 1


async def learned(place: Path, *, redis_url: str) -> dict[str, Any]:
    """Train a model, hand it to the replicas, and return the fields of a policy's spec that serve it.

    Raises:
        CommandError: it cannot be trained, or does not beat the baselines.
    """
    data, models = place / "telemetry.csv", place / "models"
    data.write_text(_telemetry())
    await _hintsvc("train", "--data", str(data), "--out", str(models), "--version", VERSION)
    await _hintsvc("models", "push", str(models), "--redis-url", redis_url, "--policy-uid", UID)
    return {"model": {"mode": "Active", "version": VERSION}}


async def _hintsvc(*words: str) -> None:
    command = [sys.executable, "-m", "tokenflow_hintsvc", *words]
    # On cores that others use, OpenMP's threads wait for one another most of the time.
    await asyncio.to_thread(run, command, env={"OMP_NUM_THREADS": "1"}, timeout_s=_TRAINED_S)


def _telemetry() -> str:
    """Return round-trip times that rise and fall steadily: easy to learn, and hard for what looks back only."""
    chance = random.Random(_SEED)  # noqa: S311 - a load, not a secret
    lines = ["timestamp,avg_rtt_us,p95_rtt_us,min_rtt_us,max_rtt_us,avg_cwnd,throughput_bps,retrans_count"]
    for second in range(_SECONDS):
        mean = 2000 + 800 * math.sin(2 * math.pi * second / _PERIOD_S) + chance.gauss(0, 80)
        lines.append(f"{_BEGAN + second},{mean:.0f},{1.2 * mean:.0f},{0.9 * mean:.0f},{1.3 * mean:.0f},10,90000,0")
    return "\n".join(lines) + "\n"
