"""What clients meet while something else fails: real replicas and a real Redis, each read counted."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.bench.hintsvc import chaos, watch
from e2e.bench.hintsvc.chaos import play

pytestmark = pytest.mark.redis

TOGETHER = 2
"""Scenarios at once: each has replicas and a Redis of its own."""


SCENARIOS = (
    "leader cut off from Redis",
    "follower cut off from Redis",
    "leader paused for 20 s",
    "Redis failover by Sentinel",
    "kill -9 of the leader",
    "Redis restarted, empty",
)


def played(name: str) -> list[str]:
    """Return the goals of a scenario that were not met."""
    figures = asyncio.run(play(name))
    return [f"{figure.name}: {figure.value}; {figure.how}" for figure in figures if not figure.met]


def test_nothing_that_fails_is_an_error_to_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three times as long as a lock lasts is enough here; the benchmark pauses for 20 s.
    monkeypatch.setattr(chaos, "PAUSED_S", 10.0)
    # Who takes over must not have waited for the one that was paused; how soon it does, the benchmark measures.
    monkeypatch.setattr(chaos, "MAX_FAILOVER_S", 9.0)
    monkeypatch.setattr(watch, "_TIMEOUT_S", 10.0)
    # Programs are ended in one thread while those of another are watched.
    with ThreadPoolExecutor(TOGETHER) as threads:
        assert [failure for failures in threads.map(played, SCENARIOS) for failure in failures] == []
