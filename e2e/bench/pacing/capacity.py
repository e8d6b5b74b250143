"""How much of a core two thousand streams take."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from e2e.bench.hintsvc.site import pin
from e2e.bench.pacing.arms import PACED, TENANTS, Subject, arm_site, room
from e2e.bench.pacing.engine import Engine
from e2e.bench.pacing.peers import nginx
from e2e.bench.pacing.reader import Plan
from e2e.bench.pacing.reading import read_on
from e2e.bench.pacing.results import Results, Run, check_admitted, measured
from e2e.bench.pacing.workload import steady
from e2e.bench.proc import memory_bytes, processor_s
from e2e.bench.programs import LOOPBACK

STREAMS: Final = 2000
PER_SECOND: Final = 20
STEADY: Final = ("--steady", "--tokens-per-second", str(PER_SECOND), "--first-token-s", "0.05")
ENGINE_CORE: Final = 1
_MEASURED_CORE: Final = 0
_READER_CORES: Final = (2, 3)
_BEGIN_PER_SECOND: Final = 500
_SETTLE_S: Final = 1.5
_ENDLESS: Final = 4000


def scenario(streams: int) -> str:
    """Return the name of a run with so many streams."""
    return f"{streams} streams"


@asynccontextmanager
async def carriers(place: Path, engine: Engine) -> AsyncIterator[list[Subject]]:
    """Run our gateway and an nginx, on one core, until the block is left.

    Raises:
        BenchError: one does not start.
    """
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(arm_site(PACED, room(place, "capacity-0"), upstream=engine.url)),
            stack.enter_context(nginx(room(place, "capacity-1"), upstream=engine.url)),
        ]
        for subject in subjects:
            pin(subject.pid, _MEASURED_CORE)
        yield subjects


async def at_capacity(
    results: Results, subjects: Sequence[Subject], *, seeds: Sequence[int], streams: int, seconds: float
) -> None:
    """Let each subject in turn carry so many streams, and note what it takes once all of them run.

    Raises:
        BenchError: a reader failed, or a stream was refused.
    """
    for seed in seeds:
        if results.has(scenario(streams), seed):
            continue
        ramp_s = streams / _BEGIN_PER_SECOND
        asks = tuple(steady(streams=streams, tokens=_ENDLESS, over_s=ramp_s, seed=seed, tenants=TENANTS))
        until_s = ramp_s + _SETTLE_S + seconds
        for subject in subjects:
            plan = Plan(servers=((LOOPBACK, subject.port),), asks=asks, until_s=until_s)
            reading = asyncio.create_task(read_on(plan, cores=_READER_CORES))
            await asyncio.sleep(ramp_s + 2 * _SETTLE_S)
            before, began = processor_s(subject.pid), asyncio.get_running_loop().time()
            await asyncio.sleep(seconds - 2 * _SETTLE_S)
            share = (processor_s(subject.pid) - before) / (asyncio.get_running_loop().time() - began)
            memory = memory_bytes(subject.pid, "VmRSS")
            met = await reading
            check_admitted(met, arm=subject.name)
            since_s = ramp_s + _SETTLE_S
            figures = asdict(measured(met, until_s=until_s, since_s=since_s))
            figures["core_share"] = share
            figures["memory_mb"] = memory / 1e6
            figures["tokens_per_second"] = sum(figures["shares"].values()) / (until_s - since_s)
            results.add(Run(scenario=scenario(streams), arm=subject.name, seed=seed, figures=figures))
            print(
                f"{scenario(streams)}, seed {seed}: {subject.name} {share:.1%} of a core,"
                f" {figures['tokens_per_second']:.0f} tokens/s, {memory / 1e6:.0f} MB",
                flush=True,
            )
