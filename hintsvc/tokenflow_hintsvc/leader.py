"""One replica at a time computes the hints: it holds a lock in Redis, and each lock has a higher term."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError, TermOverError
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.store.leadership import LOCK_TTL_MS, Leadership

_log = logging.getLogger(__name__)

PERIOD_S: Final = 0.25
CANDIDATE_S: Final = 0.5
RENEW_S: Final = LOCK_TTL_MS / 3000
SAFE_S: Final = LOCK_TTL_MS / 1000 * 0.8
"""Without a renewal for so long, by the monotonic clock, a leader stops by itself before its lock runs out."""


class Work(Protocol):
    """What a leader does."""

    async def begin(self, term: int) -> None:
        """Make ready for a term.

        Raises:
            StoreError: Redis does not answer.
        """

    async def round(self) -> None:
        """Do one round of the term that has begun.

        Raises:
            StoreError: Redis does not answer.
            TermOverError: a newer leader has taken over.
        """


class Leader:
    """Competes for the lock, and while it holds it works four times a second.

    Args:
        leadership: the lock.
        work: what to do while leading.
        heard: called for the highest term that was ever heard of.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        leadership: Leadership,
        work: Work,
        heard: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._work = work
        self._heard = heard
        self._clock = clock
        self.term: int | None = None

    async def run(self) -> None:
        """Compete and lead until cancelled; the lock is given back, so that the next leader need not wait."""
        try:
            while True:
                await self._compete()
                await asyncio.sleep(CANDIDATE_S)
        finally:
            await self._resign()

    async def _compete(self) -> None:
        try:
            asked = self._clock()
            self.term = await self._leadership.acquire(above=self._heard())
            if self.term is not None:
                metrics.LEADER.set(1)
                _log.info("leading", extra={"term": self.term})
                await self._lead(self.term, until=asked + SAFE_S)
        except TermOverError as error:
            _log.warning("fenced out", extra={"reason": str(error)})
        except StoreError as error:
            metrics.STORE_ERRORS.labels("leader").inc()
            _log.warning("the leader's lock is out of reach", extra={"reason": str(error)})
        await self._resign()

    async def _lead(self, term: int, *, until: float) -> None:
        begun = False
        due = self._clock() + RENEW_S
        while self._clock() < until:
            try:
                if self._clock() >= due:
                    asked = self._clock()
                    if not await self._leadership.renew(term):
                        return
                    until, due = asked + SAFE_S, asked + RENEW_S
                if not begun:
                    await self._work.begin(term)
                    begun = True
                with metrics.ROUND.time(), SPANS.work("leader round", {"tokenflow.term": term}):
                    await self._work.round()
            except StoreError as error:
                # What is known of the paths outlives a short outage; the lock decides how long.
                metrics.STORE_ERRORS.labels("round").inc()
                _log.warning("a round failed", extra={"reason": str(error)})
            except TermOverError:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, it is logged and counted
                # A fault of ours in deciding must not take the serving of hints away with it.
                metrics.ROUND_FAILURES.inc()
                _log.exception("a round failed by a fault of its own")
            await asyncio.sleep(PERIOD_S)

    async def _resign(self) -> None:
        term, self.term = self.term, None
        metrics.LEADER.set(0)
        if term is None:
            return
        _log.info("leading no more", extra={"term": term})
        try:
            await self._leadership.release(term)
        except StoreError as error:
            _log.warning("the leader's lock runs out by itself", extra={"reason": str(error)})
