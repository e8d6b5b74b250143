"""What the leader does four times a second: from the newest telemetry to a snapshot of all hints."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tokenflow_api.errors import CodecError
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.decide.decision import BLIND, Foresight, decide
from tokenflow_hintsvc.decide.digest import Digest, digest
from tokenflow_hintsvc.decide.explain import explanations
from tokenflow_hintsvc.decide.join import join
from tokenflow_hintsvc.decide.memory import Memory
from tokenflow_hintsvc.decide.samples import PathSample
from tokenflow_hintsvc.decide.snapshots import snapshot
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.controls import Controls
from tokenflow_hintsvc.store.explanations import Explanations
from tokenflow_hintsvc.store.snapshots import Snapshots
from tokenflow_hintsvc.store.telemetry import Latest, Telemetry

_log = logging.getLogger(__name__)

KEEP_EVERY: Final = 4
"""Rounds between two writes of what is remembered and explained: one second."""

Foresee = Callable[[Sequence[PathSample]], Foresight]
"""Called in each round with the samples of all paths; returns at once what the learned part says of them."""

_Key = tuple[str, bytes]


class Rounds:
    """The leader's work: each round takes in what is new, decides, and publishes.

    Args:
        telemetry: where the newest batches are.
        snapshots: where the hints go.
        controls: where the memory of a leader goes, and comes from.
        explanations: where the explanations go.
        configuration: what the policy allows.
        foresee: the learned part.
        now_unix_ms: Unix time in milliseconds.
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        snapshots: Snapshots,
        controls: Controls,
        explanations: Explanations,
        configuration: Configuration,
        foresee: Foresee = lambda _: BLIND,
        now_unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._telemetry = telemetry
        self._snapshots = snapshots
        self._controls = controls
        self._explanations = explanations
        self._configuration = configuration
        self._foresee = foresee
        self._now_unix_ms = now_unix_ms
        self._term = 0
        self._version = 0
        self._memory = Memory()
        self._digests: dict[_Key, Digest] = {}

    async def begin(self, term: int) -> None:
        """Make ready for a term: with what the leader before left, if it can be read."""
        self._term, self._version = term, 0
        try:
            self._memory = await self._controls.load()
        except StoreError as error:
            metrics.STORE_ERRORS.labels("controls").inc()
            _log.warning("what the last leader knew cannot be read", extra={"reason": str(error)})
            self._memory = Memory()

    async def round(self) -> None:
        """Decide, and publish.

        Raises:
            StoreError: Redis does not answer.
            TermOverError: a newer leader has taken over.
        """
        config = self._configuration.current
        if config is None:
            return
        latest, now_ms = await self._telemetry.latest(), self._now_unix_ms()
        # A round of a large cluster takes tenths of a second: hint reads must not wait for it.
        self._digests = await asyncio.to_thread(_digested, latest, self._digests)
        known = self._memory.sockets(now_ms=now_ms)
        seen = await asyncio.to_thread(join, self._digests.values(), known=known)
        self._version += 1
        decision = await asyncio.to_thread(
            decide, self._memory, seen, config, foresight=self._foresee(seen.paths), now_ms=now_ms
        )
        self._memory = decision.memory
        computed = await asyncio.to_thread(
            snapshot, decision, config, term=self._term, version=self._version, at_unix_ms=self._now_unix_ms()
        )
        await self._snapshots.publish(computed)
        if self._version % KEEP_EVERY == 1:
            await self._controls.store(decision.memory, term=self._term)
            explained = await asyncio.to_thread(explanations, decision, computed)
            await self._explanations.store(explained, term=self._term)


def _digested(latest: Sequence[Latest], known: Mapping[_Key, Digest]) -> dict[_Key, Digest]:
    """Return the digests of batches; those of earlier rounds are known."""
    keys = [(each.reporter, each.identity) for each in latest]
    return {key: known.get(key) or _digest(each) for key, each in zip(keys, latest, strict=True)}


def _digest(latest: Latest) -> Digest:
    try:
        return digest(latest.batch.read())
    except CodecError as error:
        metrics.UNREADABLE.inc()
        _log.warning("a stored batch cannot be read", extra={"reporter": latest.reporter, "reason": str(error)})
        return Digest()
