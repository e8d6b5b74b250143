"""Passes: what follows from how they end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tokenflow_api.tasks import TaskEndedError
from tokenflow_operator.errors import UnavailableError
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.keys import Key
from tokenflow_operator.reconcile import Outcome
from tokenflow_operator.workers import Workers
from tokenflow_operator.workqueue import Backoff, WorkQueue

GOOD, BAD = (Key(kind="PacingPolicy", namespace="n", name=name) for name in ("good", "bad"))
WELL = Outcome(again_s=None, wrote=False)


@pytest.fixture
def queue() -> WorkQueue[Key]:
    return WorkQueue(backoff=Backoff(base_s=0.01, cap_s=0.02))


async def _run(queue: WorkQueue[Key], reconcile: Callable[[Key], Awaitable[Outcome]], *, workers: int = 2) -> None:
    async with asyncio.timeout(30):
        await Workers(queue, reconcile, Heartbeat()).run(workers)


async def test_a_resource_that_fails_is_tried_again_and_stops_no_other(queue: WorkQueue[Key]) -> None:
    passes: list[Key] = []

    async def reconcile(key: Key) -> Outcome:
        passes.append(key)
        if passes.count(BAD) == 3:
            queue.close()
        if key == BAD:
            raise ZeroDivisionError
        return WELL

    queue.add(BAD)
    queue.add(GOOD)
    await _run(queue, reconcile)
    assert passes.count(GOOD) == 1


async def test_a_pause_that_the_api_asks_for_is_kept(queue: WorkQueue[Key]) -> None:
    loop = asyncio.get_running_loop()
    passes: list[float] = []

    async def reconcile(_: Key) -> Outcome:
        passes.append(loop.time())
        if len(passes) == 1:
            raise UnavailableError("429", retry_after_s=0.5)
        queue.close()
        return WELL

    queue.add(GOOD)
    await _run(queue, reconcile)
    assert passes[1] - passes[0] >= 0.5


async def test_what_a_pass_asks_for_comes(queue: WorkQueue[Key]) -> None:
    outcomes = [Outcome(again_s=0.01, wrote=False), Outcome(again_s=0.01, wrote=True), WELL]

    async def reconcile(_: Key) -> Outcome:
        outcome = outcomes.pop(0)
        if not outcomes:
            queue.close()
        return outcome

    queue.add(GOOD)
    await _run(queue, reconcile)
    assert outcomes == []


async def test_closing_lets_passes_under_way_end(queue: WorkQueue[Key]) -> None:
    ended: list[Key] = []

    async def reconcile(key: Key) -> Outcome:
        queue.close()
        await asyncio.sleep(0.05)
        ended.append(key)
        return WELL

    queue.add(GOOD)
    queue.add(BAD)
    await _run(queue, reconcile)
    assert ended == [GOOD]


async def test_a_worker_that_is_cancelled_from_within_is_missed(queue: WorkQueue[Key]) -> None:
    async def reconcile(_: Key) -> Outcome:
        raise asyncio.CancelledError

    queue.add(GOOD)
    with pytest.raises(TaskEndedError):
        await _run(queue, reconcile)
