"""What the leader does four times a second: from the newest telemetry to a snapshot of all hints."""

import logging
import time
from collections.abc import Callable

from tokenflow_api.codec import decode
from tokenflow_api.errors import CodecError
from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.decide.control import limits
from tokenflow_hintsvc.decide.join import join
from tokenflow_hintsvc.decide.snapshots import Decision, follow, snapshot
from tokenflow_hintsvc.store.snapshots import Snapshots
from tokenflow_hintsvc.store.telemetry import Telemetry

_log = logging.getLogger(__name__)


class Rounds:
    """The leader's work: each round takes in what is new, decides, and publishes."""

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        snapshots: Snapshots,
        configuration: Configuration,
        now_unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._telemetry = telemetry
        self._snapshots = snapshots
        self._configuration = configuration
        self._now_unix_ms = now_unix_ms
        self._term = 0
        self._version = 0
        self._decision = Decision()

    async def begin(self, term: int) -> None:
        """Make ready for a term."""
        self._term, self._version, self._decision = term, 0, Decision()

    async def round(self) -> None:
        """Decide, and publish.

        Raises:
            StoreError: Redis does not answer.
            TermOverError: a newer leader has taken over.
        """
        config = self._configuration.current
        if config is None:
            return
        batches = _decoded(await self._telemetry.latest())
        samples = join(batches)
        self._version += 1
        self._decision = follow(self._decision, samples, bounds=limits(config.spec.pacing, config.spec.thresholds))
        computed = snapshot(
            self._decision,
            samples,
            config,
            term=self._term,
            version=self._version,
            at_unix_ms=self._now_unix_ms(),
            informed=bool(batches),
        )
        await self._snapshots.publish(computed)


def _decoded(stored: list[bytes]) -> list[TelemetryBatch]:
    batches = []
    for data in stored:
        try:
            batches.append(decode(data, TelemetryBatch))
        except CodecError as error:
            metrics.UNREADABLE.inc()
            _log.warning("a stored batch cannot be read", extra={"reason": str(error)})
    return batches
