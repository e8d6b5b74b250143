"""One replica at a time computes the hints: it holds a lock in Redis, and each lock has a higher term."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from tokenflow_api.codec import decode
from tokenflow_api.errors import CodecError
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.decide.control import limits
from tokenflow_hintsvc.decide.join import join
from tokenflow_hintsvc.decide.snapshots import Decision, follow, snapshot
from tokenflow_hintsvc.errors import StoreError, TermOverError
from tokenflow_hintsvc.store.leadership import LOCK_TTL_MS, Leadership
from tokenflow_hintsvc.store.snapshots import Snapshots
from tokenflow_hintsvc.store.telemetry import Telemetry

_log = logging.getLogger(__name__)

PERIOD_S: Final = 0.25
CANDIDATE_S: Final = 0.5
RENEW_S: Final = LOCK_TTL_MS / 3000
SAFE_S: Final = LOCK_TTL_MS / 1000 * 0.8
"""Without a renewal for so long, by the monotonic clock, a leader stops by itself before its lock runs out."""


class Leader:
    """Competes for the lock, and while it holds it publishes a snapshot four times a second."""

    def __init__(
        self,
        *,
        name: str,
        leadership: Leadership,
        telemetry: Telemetry,
        snapshots: Snapshots,
        configuration: Configuration,
        clock: Callable[[], float] = time.monotonic,
        now_unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._name = name
        self._leadership = leadership
        self._telemetry = telemetry
        self._snapshots = snapshots
        self._configuration = configuration
        self._clock = clock
        self._now_unix_ms = now_unix_ms
        self.term: int | None = None

    async def run(self) -> None:
        """Compete and lead, for ever."""
        while True:
            try:
                term = await self._leadership.acquire(self._name)
                if term is not None:
                    await self._lead(term)
            except TermOverError as error:
                _log.warning("fenced out", extra={"reason": str(error)})
            except StoreError as error:
                metrics.STORE_ERRORS.labels("leader").inc()
                _log.warning("the leader's lock is out of reach", extra={"reason": str(error)})
            finally:
                if self.term is not None:
                    _log.info("leading no more", extra={"term": self.term})
                self.term = None
                metrics.LEADER.set(0)
            await asyncio.sleep(CANDIDATE_S)

    async def resign(self) -> None:
        """Give the lock back, so that the next leader need not wait for it to run out."""
        try:
            await self._leadership.release(self._name)
        except StoreError as error:
            _log.warning("the leader's lock runs out by itself", extra={"reason": str(error)})

    async def _lead(self, term: int) -> None:
        self.term = term
        metrics.LEADER.set(1)
        _log.info("leading", extra={"term": term})
        decision = Decision()
        renewed = self._clock()
        version = 0
        while True:
            if self._clock() - renewed > RENEW_S:
                before = self._clock()
                if not await self._leadership.renew(self._name):
                    return
                renewed = before
            config = self._configuration.current
            if config is not None:
                version += 1
                try:
                    decision = await self._round(decision, config, term=term, version=version)
                except StoreError as error:
                    # What is known of the paths outlives a short outage; the lock decides how long.
                    metrics.STORE_ERRORS.labels("round").inc()
                    _log.warning("a round failed", extra={"reason": str(error)})
            if self._clock() - renewed > SAFE_S:
                return
            await asyncio.sleep(PERIOD_S)

    async def _round(self, decision: Decision, config: RuntimeConfig, *, term: int, version: int) -> Decision:
        batches = _decoded(await self._telemetry.latest())
        samples = join(batches)
        followed = follow(decision, samples, bounds=limits(config.spec.pacing, config.spec.thresholds))
        computed = snapshot(
            followed,
            samples,
            config,
            term=term,
            version=version,
            at_unix_ms=self._now_unix_ms(),
            informed=bool(batches),
        )
        if not await self._snapshots.publish(computed):
            raise TermOverError(f"term {term} is over: a newer leader has taken over")
        return followed


def _decoded(stored: list[bytes]) -> list[TelemetryBatch]:
    batches = []
    for data in stored:
        try:
            batches.append(decode(data, TelemetryBatch))
        except CodecError as error:
            metrics.UNREADABLE.inc()
            _log.warning("a stored batch cannot be read", extra={"reason": str(error)})
    return batches
