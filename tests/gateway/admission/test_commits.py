import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.gateway.admission.support import Clock, Service
from tests.gateway.support import eventually
from tokenflow_api.quota import CommitReply, CommitRequest
from tokenflow_gateway.admission import commits as module
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.admission.commits import Commits


def done(reservation: str) -> CommitRequest:
    return CommitRequest(reservation=reservation, output_tokens=5)


def counted(outcome: str) -> float:
    return metrics.COMMITS.labels(outcome)._value.get()


@asynccontextmanager
async def running(commits: Commits) -> AsyncIterator[None]:
    task = asyncio.create_task(commits.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_commits_are_delivered() -> None:
    service = Service()
    commits = Commits(service)
    for name in ("a", "b", "c"):
        commits.add(done(name), life_s=60)
    async with running(commits):
        assert await commits.drain(within_s=5) == 0
    assert sorted(one.reservation for one in service.commits) == ["a", "b", "c"]


async def test_they_wait_while_the_hint_service_is_away() -> None:
    service = Service(away=True)
    commits = Commits(service)
    commits.add(done("a"), life_s=60)
    async with running(commits):
        assert await commits.drain(within_s=0.01) == 1
        service.away = False
        assert await commits.drain(within_s=5) == 0
    assert [one.reservation for one in service.commits] == ["a"]


async def test_one_whose_reservation_has_ended_is_dropped_and_counted() -> None:
    clock, service, before = Clock(), Service(), counted("expired")
    commits = Commits(service, clock=clock)
    commits.add(done("old"), life_s=60)
    clock.now += 60
    commits.add(done("new"), life_s=60)
    async with running(commits):
        assert await commits.drain(within_s=5) == 0
    assert [one.reservation for one in service.commits] == ["new"]
    assert counted("expired") - before == 1


async def test_too_many_push_out_the_oldest_which_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    service, before = Service(), counted("dropped")
    commits = Commits(service)
    for name in ("a", "b", "c"):
        commits.add(done(name), life_s=60)
    async with running(commits):
        await commits.drain(within_s=5)
    assert sorted(one.reservation for one in service.commits) == ["b", "c"]
    assert counted("dropped") - before == 1


class Hopeless(Service):
    async def commit(self, done: CommitRequest) -> CommitReply | None:
        self.commits.append(done)
        return None


async def test_one_that_is_refused_is_not_sent_again() -> None:
    service, before = Hopeless(), counted("refused")
    commits = Commits(service)
    commits.add(done("bad"), life_s=60)
    async with running(commits):
        assert await commits.drain(within_s=5) == 0
    assert len(service.commits) == 1
    assert counted("refused") - before == 1


class Slow(Service):
    """Takes commits only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def commit(self, done: CommitRequest) -> CommitReply | None:
        await self.let.wait()
        return await super().commit(done)


async def test_what_is_on_its_way_is_not_drained_yet() -> None:
    service = Slow()
    commits = Commits(service)
    async with running(commits):
        commits.add(done("a"), life_s=60)
        assert await commits.drain(within_s=0.01) == 1
        service.let.set()
        await eventually(lambda: bool(service.commits))
        assert await commits.drain(within_s=5) == 0
