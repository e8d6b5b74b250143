"""Competes for the Lease, renews it, and ends the process when the lease can no longer be proved."""

import asyncio
import logging
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from tokenflow_operator import metrics
from tokenflow_operator.election.candidacy import Candidacy, Terms, since_boot
from tokenflow_operator.election.lease import given_back, held, new_lease, record_of
from tokenflow_operator.errors import ConflictError, KubeError, NotFoundError, NotLeadingError
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.kube.kinds import LEASE

EXIT_LEASE_LOST: Final = 3
"""Exit code of a process that led and could no longer prove it."""
_RELEASE_S: Final = 1.0
_TICK_S: Final = 0.01
_SETTLE_S: Final = 0.2
"""API servers that themselves go by the Lease hear of its new holder by a watch."""

_log: Final = logging.getLogger(__name__)


def _end_process() -> None:
    """End at once: no handler and no drain may write once another replica leads."""
    logging.shutdown()
    os._exit(EXIT_LEASE_LOST)


class Election:
    """One replica's part in the election.

    Attributes:
        leading: set when this replica leads; it never stops leading without ending or releasing.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms | None = None,
        clock: Callable[[], float] = since_boot,
        end: Callable[[], None] = _end_process,
    ) -> None:
        """Stand for election.

        Args:
            kube: for the Lease alone: its writes pass no gate, and other requests must not delay them.
            namespace: of the Lease.
            name: of the Lease.
            identity: of this process, never used by another one.
            terms: the times that all replicas agree on.
            clock: monotonic seconds.
            end: called when the lease can no longer be proved; ends the process.
        """
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._terms = terms or Terms()
        self._clock = clock
        self._end = end
        self._candidacy = Candidacy(identity=identity, terms=self._terms, clock=clock)
        # Whether what was last seen is what the API has: not after a write whose answer is not known.
        self._sure = False
        self._released = False
        self.leading = asyncio.Event()

    @property
    def leader(self) -> str:
        """Identity of the replica that leads, as far as this one knows; empty if none does."""
        return self._candidacy.leader

    def budget_s(self) -> float:
        """Return how many seconds a write that begins now may take.

        Raises:
            NotLeadingError: it must not begin: another replica may lead before it ends.
        """
        left = 0.0 if self._released else self._candidacy.proof_left_s
        if left < self._terms.margin_s:
            raise NotLeadingError(f"not written: this replica can prove its lease for {left:.1f} s only")
        return left

    async def run(self) -> None:
        """Compete, then renew, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._within(self._terms.attempt_s)):
                    await self._attempt()
            except (KubeError, TimeoutError) as error:
                metrics.LEASE_FAILURES.inc()
                _log.warning("the Lease was not read or written", extra={"cause": str(error) or type(error).__name__})
            except Exception:  # noqa: BLE001 - whatever it is, the next attempt or the deadline follows
                metrics.LEASE_FAILURES.inc()
                _log.exception("an attempt at the Lease failed by a defect")
            if self._candidacy.lost:
                _log.critical("the lease is lost: ending at once", extra={"leader": self.leader})
                self._end()
            elif self._candidacy.proof_left_s > 0 and not self.leading.is_set():
                await asyncio.sleep(_SETTLE_S)
                metrics.LEADER.set(1)
                _log.info("leading", extra={"identity": self._identity})
                self.leading.set()
            await asyncio.sleep(self._pause_s())

    async def release(self) -> None:
        """Write no more, and let another replica lead at once. Only after ``run`` has ended."""
        self._released = True
        # A Lease that was held, but not long enough to lead, is not free: an older holder may not know of it yet.
        if not self.leading.is_set():
            return
        try:
            async with asyncio.timeout(_RELEASE_S):
                if not self._sure:
                    self._candidacy.saw(record_of(await self._read()))
                seen = self._candidacy.seen
                if seen is not None and seen.holder == self._identity:
                    await self._kube.replace(LEASE, given_back(seen.manifest, now=datetime.now(UTC)))
        except (KubeError, TimeoutError) as error:
            _log.warning("the Lease was not given back", extra={"cause": str(error) or type(error).__name__})
        metrics.LEADER.set(0)

    async def _attempt(self) -> None:
        candidacy = self._candidacy
        if not self._sure:
            try:
                candidacy.saw(record_of(await self._read()))
            except NotFoundError:
                candidacy.saw(None)
        if not candidacy.may_bid:
            return
        asked_at = self._clock()
        self._sure = False
        written = await (self._create() if candidacy.seen is None else self._replace(candidacy.seen.manifest))
        candidacy.won(record_of(written), asked_at=asked_at)
        self._sure = True

    async def _create(self) -> Manifest:
        self._candidacy.creating()
        lease = new_lease(namespace=self._namespace, name=self._name)
        try:
            return await self._kube.create(LEASE, self._held(lease))
        except ConflictError:
            self._candidacy.not_created()
            raise

    async def _replace(self, lease: Manifest) -> Manifest:
        return await self._kube.replace(LEASE, self._held(lease))

    def _held(self, lease: Manifest) -> Manifest:
        return held(lease, holder=self._identity, lasts_s=self._terms.lease_s, now=datetime.now(UTC))

    async def _read(self) -> Manifest:
        return await self._kube.get(LEASE, namespace=self._namespace, name=self._name)

    def _pause_s(self) -> float:
        pause_s = self._terms.renew_s if self._sure else self._terms.retry_s
        return self._within(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret

    def _within(self, wanted_s: float) -> float:
        """Return no more than the hold that is left, so that a holder notices when it ends."""
        return min(wanted_s, self._candidacy.hold_left_s + _TICK_S) if self._candidacy.held else wanted_s
