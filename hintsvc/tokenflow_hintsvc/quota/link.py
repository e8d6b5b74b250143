"""A replica's line to the shared quotas.

One task carries the questions of all tenants to Redis, many in one round trip, and brings back the answers.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.quota.breaker import Breaker
from tokenflow_hintsvc.quota.desk import Desk
from tokenflow_hintsvc.quota.exchange import Question
from tokenflow_hintsvc.quota.reservations import KEY_BYTES, Signer
from tokenflow_hintsvc.store.quotas import Greeting, Quotas

_log = logging.getLogger(__name__)

GREET_US: Final = 300_000
RESTATE_US: Final = 1_000_000
"""A Redis that has forgotten the quotas admits nothing for so long, in which every replica tells what it knows."""
ROUND_S: Final = 0.1
"""Longest time between two looks at the leases."""
TOGETHER: Final = 32
"""Questions in one round trip: Redis answers each in a fraction of a millisecond, and all within the deadline."""
_LAST_ROUNDS: Final = 400


class Link:
    """Asks what the desks want to know.

    Args:
        quotas: the shared side.
        desks: returns the desks of all tenants.
        monotonic_us: a clock that never goes back.
    """

    def __init__(self, quotas: Quotas, *, desks: Callable[[], Sequence[Desk]], monotonic_us: Callable[[], int]) -> None:
        self.signer = Signer(os.urandom(KEY_BYTES))
        self._quotas = quotas
        self._desks = desks
        self._monotonic_us = monotonic_us
        self._offset_us = time.time_ns() // 1000 - monotonic_us()
        self._breaker = Breaker()
        self._greeting: Greeting | None = None
        self._greeted_us = 0
        self._told_us = 0
        self._wake = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether it makes sense to wait for an answer."""
        return self._breaker.closed

    @property
    def decides(self) -> bool:
        """Whether the shared quotas decide; otherwise each replica does."""
        return self._breaker.closed and self._told

    @property
    def replicas(self) -> int | None:
        """How many replicas share the quotas; ``None`` before that was heard."""
        return self._greeting.replicas if self._greeting else None

    def now_us(self) -> int:
        """Return the time by Redis' clock, as far as it is known."""
        return self._monotonic_us() + self._offset_us

    def wake(self) -> None:
        """Ask soon: somebody waits."""
        self._wake.set()

    async def run(self) -> None:
        """Ask again and again, until cancelled; then give back what is held."""
        try:
            while True:
                await self.round()
                await self._pause()
        finally:
            await self.leave()

    async def round(self) -> None:
        """Tell and ask once what there is to tell and to ask."""
        self._wake.clear()
        due = self._monotonic_us() - self._greeted_us >= GREET_US
        try:
            if due or self._greeting is None or not self._breaker.closed:
                await self._greet()
            await self._exchange()
            self._breaker.succeed()
        except StoreError as error:
            metrics.STORE_ERRORS.labels("quota").inc()
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and counted
            # A fault of ours in the quotas must not take the serving of hints away with it.
            metrics.QUOTA_ROUND_FAILURES.inc()
            _log.exception("a round of the quotas failed by a fault of its own")
            self._fail(StoreError(f"the quotas failed: {type(error).__name__}"))
        metrics.QUOTA_REACHABLE.set(self.decides)

    async def leave(self) -> None:
        """Give back all that is held."""
        for desk in self._desks():
            desk.close()
        try:
            for _ in range(_LAST_ROUNDS):
                if all(desk.idle for desk in self._desks()):
                    break
                await self._exchange()
            await self._quotas.leave()
        except StoreError as error:
            _log.warning("leases run out by themselves", extra={"reason": str(error)})

    @property
    def _told(self) -> bool:
        """Whether every replica had the time to tell Redis what it may have forgotten."""
        return self._greeting is not None and self._monotonic_us() >= self._told_us

    def _fail(self, error: StoreError) -> None:
        if self._breaker.fail():
            _log.warning("the quotas are out of reach, failureMode decides", extra={"reason": str(error)})
        if not self._breaker.closed:
            for desk in self._desks():
                desk.fail(error)

    async def _greet(self) -> None:
        greeting = await self._quotas.greet(key=self.signer.key)
        known, self._greeting = self._greeting, greeting
        self._greeted_us = self._monotonic_us()
        self._offset_us = greeting.now_us - self._greeted_us
        self.signer.adopt(greeting.key)
        if known is not None and known.epoch == greeting.epoch:
            return
        # By the monotonic clock: Redis' own may be set back.
        age_us = max(0, greeting.now_us - int(greeting.epoch))
        self._told_us = self._greeted_us + max(0, RESTATE_US - age_us)
        if known is not None:
            _log.warning("Redis has forgotten the quotas: they are told to it again")
            for desk in self._desks():
                desk.restate(now_us=self.now_us())

    async def _exchange(self) -> None:
        greeting = self._greeting
        if greeting is None:
            return
        asking: list[tuple[Desk, Question]] = []
        for desk in self._desks():
            question = desk.question(now_us=self.now_us(), replicas=greeting.replicas, ready=self._told)
            if question is not None:
                asking.append((desk, question))
        for start in range(0, len(asking), TOGETHER):
            await self._ask(asking[start : start + TOGETHER], epoch=greeting.epoch)

    async def _ask(self, asking: Sequence[tuple[Desk, Question]], *, epoch: str) -> None:
        answers = await self._quotas.exchange([question for _, question in asking], epoch=epoch)
        for (desk, _), answer in zip(asking, answers, strict=True):
            if isinstance(answer, StoreError):
                raise answer
            if answer is None:
                # Redis is in another epoch: the next greeting tells.
                self._greeted_us = 0
            else:
                desk.settle(answer)

    async def _pause(self) -> None:
        if not self._breaker.closed:
            await asyncio.sleep(ROUND_S)
        elif all(desk.idle for desk in self._desks()):
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._wake.wait()
            except TimeoutError:
                return
