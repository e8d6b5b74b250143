"""A leader's time, by a clock that tests turn."""

import asyncio
from dataclasses import dataclass, field

import pytest

from tokenflow_hintsvc import leader as leading
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError, TermOverError
from tokenflow_hintsvc.leader import SAFE_S, Leader


@dataclass
class Lock:
    """A lock that is free until it is taken, and may be out of reach."""

    now: float = 100.0
    reachable: bool = True
    renewable: bool = True
    terms: int = 0
    renewals: list[float] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    heard: list[int] = field(default_factory=list)

    async def acquire(self, *, above: int) -> int | None:
        self.heard.append(above)
        if self.terms:
            # Once is enough for a test: the second time ends it.
            raise asyncio.CancelledError
        self.terms += 1
        return self.terms

    async def renew(self, _: int) -> bool:
        if not self.reachable:
            self.now += 1.0
            raise StoreError("away")
        self.renewals.append(self.now)
        return self.renewable

    async def release(self, term: int) -> None:
        self.released.append(term)


@dataclass
class Rounds:
    """Work that takes time."""

    lock: Lock
    took_s: float = 0.25
    begun: list[int] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    fails: dict[int, Exception] = field(default_factory=dict)

    async def begin(self, term: int) -> None:
        self.begun.append(term)

    async def round(self) -> None:
        self.rounds.append(self.lock.now)
        self.lock.now += self.took_s
        if error := self.fails.get(len(self.rounds)):
            raise error
        if len(self.rounds) == 40:
            self.lock.renewable = False


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "PERIOD_S", 0)
    monkeypatch.setattr(leading, "CANDIDATE_S", 0)


async def lead(lock: Lock, rounds: Rounds) -> Leader:
    leader = Leader(leadership=lock, work=rounds, heard=lambda: 7, clock=lambda: lock.now)  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await leader.run()
    return leader


async def test_a_leader_renews_its_lock_until_it_cannot_and_gives_it_back() -> None:
    lock = Lock()
    rounds = Rounds(lock)
    leader = await lead(lock, rounds)
    assert rounds.begun == [1]
    assert lock.renewals == [101.0 + second for second in range(10)]
    assert lock.released == [1]
    assert lock.heard == [7, 7]
    assert leader.term is None


async def test_a_leader_that_cannot_reach_redis_stops_before_its_lock_runs_out() -> None:
    lock = Lock(reachable=False)
    rounds = Rounds(lock)
    await lead(lock, rounds)
    assert rounds.rounds
    assert max(rounds.rounds) < 100.0 + SAFE_S


async def test_a_leader_that_was_paused_does_no_further_round() -> None:
    lock = Lock(renewable=False)
    rounds = Rounds(lock, took_s=20.0)
    await lead(lock, rounds)
    assert rounds.rounds == [100.0]


async def test_a_fault_in_deciding_ends_neither_the_term_nor_the_replica() -> None:
    lock = Lock()
    rounds = Rounds(lock, fails={2: ZeroDivisionError("a node without a signal")})
    before = metrics.ROUND_FAILURES._value.get()
    await lead(lock, rounds)
    assert rounds.begun == [1]
    assert len(rounds.rounds) == 40
    assert metrics.ROUND_FAILURES._value.get() - before == 1


async def test_a_round_that_fails_does_not_end_the_term() -> None:
    lock = Lock()
    rounds = Rounds(lock, fails={1: StoreError("slow"), 5: TermOverError("over")})
    await lead(lock, rounds)
    assert rounds.begun == [1]
    assert len(rounds.rounds) == 5
