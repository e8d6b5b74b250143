"""One tenant's quota at one replica: what is held, who waits, and what is still to be told.

It does no I/O: the keeper carries its questions to Redis and brings back the answers. A question that was not answered
is asked again as it was, so that it counts once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tokenflow_api.quotas.limits import Limits
from tokenflow_api.quotas.meter import BUCKET_US
from tokenflow_api.quotas.share import NOTHING_TAKEN, Share, Taken
from tokenflow_api.quotas.verdict import STREAM_WAIT_MS, Ask, Verdict
from tokenflow_hintsvc.errors import QuotaBusyError, StoreError
from tokenflow_hintsvc.quota.account import Account
from tokenflow_hintsvc.quota.exchange import REFUSALS, Answer, Lot, Question, Settlement, Waiter, slot
from tokenflow_hintsvc.quota.holdings import LIFE_US, Holdings

BATCH: Final = 128
"""Waiters and commits in one question."""
MAX_WAITERS: Final = 4096
MAX_COMMITS: Final = 50_000
"""Commits that wait out an outage; more are refused."""
MEMORY_US: Final = 100_000
"""A refusal is repeated from memory for so long: what others give back may make room."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    ask: Ask
    number: int
    verdict: asyncio.Future[Verdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A commit on its way: ``counted`` tells in the end whether it was the first of its reservation."""

    settlement: Settlement
    counted: asyncio.Future[bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A question that has no answer yet, and whom it concerns."""

    question: Question
    waiting: Sequence[_Waiting]
    commits: Sequence[Commit]
    slots: Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refused:
    ask: Ask
    verdict: Verdict
    at_us: int


class Desk:
    """Admits and commits the requests of one tenant.

    Args:
        tenant: its name.
        boot: this start of the replica, in hexadecimal.
        limits: of the tenant.
        next_number: counts the reservations and questions of this replica.
    """

    def __init__(self, tenant: str, *, boot: str, limits: Limits, next_number: Callable[[], int]) -> None:
        self.limits = limits
        self.known: Answer | None = None
        self._tenant = tenant
        self._boot = boot
        self._next_number = next_number
        self._holdings = Holdings()
        self._waiting: deque[_Waiting] = deque()
        self._commits: dict[str, Commit] = {}
        self._account = Account()
        self._refused: _Refused | None = None
        self._asked: _Asked | None = None
        self._alone: Share | None = None
        self._closed = False

    def configure(self, limits: Limits) -> None:
        """Go by other limits from now on."""
        self.limits = limits
        self._refused = None

    @property
    def idle(self) -> bool:
        """Whether nothing is to be told and nobody waits."""
        return self._account.settled and not (self._asked or self._waiting or self._commits)

    def remaining(self) -> tuple[int, int]:
        """Return how many requests and tokens are left for this tenant, as far as is known here."""
        if self._alone:
            return self._alone.remaining()
        if self.known is None:
            return self.limits.requests.per_minute, self.limits.tokens.burst
        return (
            self.known.requests.remaining + self._holdings.requests.held,
            self.known.tokens.remaining + self._holdings.tokens.held,
        )

    def streams_left(self) -> int:
        """Return how many streams may still be opened; none where that is not known."""
        return 0 if self._alone or self.known is None else self.known.streams_left + self._holdings.slots

    def leased(self) -> tuple[int, int]:
        """Return how many requests and tokens this replica may still admit without asking."""
        return self._holdings.requests.held, self._holdings.tokens.held

    @property
    def waiting(self) -> int:
        """How many requests wait for the shared quota."""
        return len(self._waiting)

    def take(self, ask: Ask, *, now_us: int) -> Verdict | None:
        """Decide from memory; ``None`` where only the shared quota can tell."""
        self._holdings.note(ask, now_us=now_us)
        held = None if self._waiting else self._holdings.take(ask)
        if held:
            bucket, number = held
            if number is not None:
                self._account.hold(number, most=self.limits.streams)
            return Verdict(number=self._next_number() if number is None else number, bucket=bucket, tokens=ask.tokens)
        return self._remembered(ask, now_us=now_us)

    def wait(self, ask: Ask) -> asyncio.Future[Verdict]:
        """Line up for the shared quota.

        Raises:
            QuotaBusyError: too many wait.
        """
        if len(self._waiting) >= MAX_WAITERS:
            raise QuotaBusyError(f"{MAX_WAITERS} requests of tenant {self._tenant!r} wait for its quota")
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(ask=ask, number=self._next_number(), verdict=verdict))
        return verdict

    def locally(self, ask: Ask, *, now_us: int, replicas: int) -> Verdict:
        """Decide by this replica's own share."""
        if self._alone is None:
            self._alone = Share(self.limits, replicas=replicas, taken=self._taken(), now_us=now_us)
        verdict = self._alone.admit(ask, bucket=now_us // BUCKET_US, now_us=now_us)
        return verdict if verdict.refusal else self.unasked(Ask(verdict.tokens, ask.stream), now_us=now_us)

    def unasked(self, ask: Ask, *, now_us: int) -> Verdict:
        """Admit without asking; it is charged when the shared quota can be reached."""
        number, bucket = self._next_number(), now_us // BUCKET_US
        self._account.advance(now_us, self.limits)
        self._account.owe(Lot(bucket=bucket, requests=1, tokens=ask.tokens))
        if ask.stream:
            self._account.hold(number, most=self.limits.streams)
        return Verdict(number=number, bucket=bucket, tokens=ask.tokens, local=True)

    def commit(self, settlement: Settlement, *, stream: bool) -> asyncio.Future[bool]:
        """Settle a reservation.

        Raises:
            QuotaBusyError: too many commits wait for the shared quota.
        """
        if len(self._commits) >= MAX_COMMITS:
            raise QuotaBusyError(f"{MAX_COMMITS} commits of tenant {self._tenant!r} wait for its quota")
        counted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if settlement.slot in self._commits:
            counted.set_result(False)
            return counted
        self._commits[settlement.slot] = Commit(settlement=settlement, counted=counted)
        self._refused = None
        if self._alone:
            returned = settlement.reserved - settlement.used
            self._alone.commit(bucket=settlement.bucket, returned=returned, stream=stream)
        return counted

    def question(self, *, now_us: int, replicas: int, ready: bool) -> Question | None:
        """Return what to tell and to ask; ``None`` where there is nothing.

        Args:
            now_us: the time, by Redis' clock.
            replicas: that share the quota.
            ready: whether the shared quota may admit; otherwise it is only told what it lacks.
        """
        if self._asked:
            return self._asked.question
        self._give_back(before_us=now_us - LIFE_US)
        wanted = self._holdings.wanted(self.limits, replicas=replicas, now_us=now_us)
        leases = ready and not self._closed and bool(wanted.requests or wanted.tokens or wanted.slots)
        if not ready:
            self.fail(StoreError("the shared quota is being told what it has forgotten"))
        if self.idle and not leases:
            return None
        waiting = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        commits = [self._commits.pop(key) for key in list(islice(self._commits, BATCH))]
        slots = [self._next_number() for _ in range(min(BATCH, wanted.slots))] if leases else []
        untold = self._account.tell()
        question = Question(
            tenant=self._tenant,
            # Unique for the replica: a tenant that goes and comes back must not be given the answers of before.
            sequence=self._next_number(),
            limits=self.limits,
            returned=untold.returned,
            left=untold.left,
            charged=untold.charged,
            held=untold.held,
            commits=[commit.settlement for commit in commits],
            waiters=[
                Waiter(tokens=one.ask.tokens, slot=slot(self._boot, one.number) if one.ask.stream else "")
                for one in waiting
            ],
            requests_wanted=wanted.requests if leases else 0,
            tokens_wanted=wanted.tokens if leases else 0,
            slots=[slot(self._boot, number) for number in slots],
        )
        self._asked = _Asked(question=question, waiting=waiting, commits=commits, slots=slots)
        return question

    def settle(self, answer: Answer) -> None:
        """Take in the answer to the last question."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        self.known = answer
        if not self._account.owes:
            self._alone = None
        self._account.advance(answer.now_us, self.limits)
        for one, ruling in zip(asked.waiting, answer.waiters, strict=True):
            self._rule(one, code=ruling.code, wait_ms=ruling.wait_ms, answer=answer)
        for commit, first in zip(asked.commits, answer.first, strict=True):
            settled = commit.settlement
            if first and settled.boot == self._boot:
                returned = max(0, settled.reserved - settled.used)
                self._account.refund(Lot(bucket=settled.bucket, requests=0, tokens=returned))
            commit.counted.set_result(first)
        leased = Lot(bucket=answer.bucket, requests=answer.requests_leased, tokens=answer.tokens_leased)
        self._account.charge(leased)
        self._holdings.requests.add(answer.bucket, answer.requests_leased)
        self._holdings.tokens.add(answer.bucket, answer.tokens_leased)
        self._holdings.add_slots(list(asked.slots[: answer.slots_leased]), now_us=answer.now_us)

    def fail(self, error: StoreError) -> None:
        """Let nobody wait longer: the shared quota is out of reach."""
        for one in (*(self._asked.waiting if self._asked else ()), *self._waiting):
            if not one.verdict.done():
                one.verdict.set_exception(error)
        self._waiting.clear()

    def restate(self, *, now_us: int) -> None:
        """Tell all that was charged within the last minute again, to a Redis that has forgotten it."""
        asked, self._asked = self._asked, None
        if asked:
            self._commits = {commit.settlement.slot: commit for commit in asked.commits} | self._commits
            for one in asked.waiting:
                if not one.verdict.done():
                    one.verdict.set_exception(StoreError("Redis has forgotten the quotas"))
        self._account.advance(now_us, self.limits)
        self._account.restate(held=asked.question.held if asked else ())

    def close(self) -> None:
        """Give back all that is held, and lease nothing any more."""
        self._closed = True
        self._give_back(before_us=2**62)

    def _taken(self) -> Taken:
        known = self.known
        if known is None:
            return NOTHING_TAKEN
        return Taken(requests=known.requests.taken, tokens=known.tokens.taken, streams=known.streams)

    def _remembered(self, ask: Ask, *, now_us: int) -> Verdict | None:
        refused = self._refused
        if refused is None or ask.tokens < refused.ask.tokens or refused.ask.stream > ask.stream:
            return None
        passed_us = now_us - refused.at_us
        if not 0 <= passed_us < min(MEMORY_US, refused.verdict.wait_ms * 1000):
            return None
        return Verdict(refusal=refused.verdict.refusal, wait_ms=refused.verdict.wait_ms - passed_us // 1000)

    def _rule(self, one: _Waiting, *, code: int, wait_ms: int, answer: Answer) -> None:
        refusal = REFUSALS[code]
        if refusal is not None:
            verdict = Verdict(refusal=refusal, wait_ms=wait_ms or STREAM_WAIT_MS)
            self._refused = _Refused(ask=one.ask, verdict=verdict, at_us=answer.now_us)
        else:
            verdict = Verdict(number=one.number, bucket=answer.bucket, tokens=one.ask.tokens)
            self._account.charge(Lot(bucket=answer.bucket, requests=1, tokens=one.ask.tokens))
        if not one.verdict.done():
            one.verdict.set_result(verdict)
        elif refusal is None:
            # It was answered otherwise while Redis was slow.
            self._account.give_back(Lot(bucket=answer.bucket, requests=1, tokens=one.ask.tokens))
            if one.ask.stream:
                self._account.leave([slot(self._boot, one.number)])

    def _give_back(self, *, before_us: int) -> None:
        lots, numbers = self._holdings.surrender(before_us=before_us)
        for lot in lots:
            self._account.give_back(lot)
        self._account.leave([slot(self._boot, number) for number in numbers])
