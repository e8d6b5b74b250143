"""When a batch was built, by the service's clock.

A sender estimates how far its clock is from the service's, and bounds the error of that. Where the bound holds, its
stamps are corrected by the offset. Where it has none, or one that is too wide or that its own arrival proves wrong,
its stamps prove nothing: the batch counts as built when it arrived, and is marked. It speaks for now only if its stamps
agree that it was built just before, so that neither what waited through an outage nor a clock set wrong passes for now.
"""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.telemetry import TelemetryBatch

_TABLES: Final = ("tcp", "listen", "http", "sql", "streams")
"""Those whose rows begin with ``start_unix_ms``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What is known of the time of a batch.

    Attributes:
        at_unix_ms: when it was built, by the service's clock.
        bounded: whether the error of that is bounded.
        current: whether it speaks for now.
    """

    at_unix_ms: int
    bounded: bool
    current: bool


def timing(batch: TelemetryBatch, *, received_unix_ms: int, stale_after_ms: int) -> Timing:
    """Return when a batch was built.

    Args:
        batch: as it arrived.
        received_unix_ms: when it arrived.
        stale_after_ms: age from which a batch does not speak for now; also the widest error that is trusted.
    """
    at = batch.sent_at_unix_ms + batch.clock_offset_ms
    error = batch.clock_error_ms
    if error is not None and error <= stale_after_ms and at - error <= received_unix_ms:
        return Timing(at_unix_ms=at, bounded=True, current=received_unix_ms - at <= stale_after_ms + error)
    apart_ms = abs(received_unix_ms - batch.sent_at_unix_ms)
    return Timing(at_unix_ms=received_unix_ms, bounded=False, current=apart_ms <= stale_after_ms)


def corrected(batch: TelemetryBatch, *, at_unix_ms: int, bounded: bool) -> TelemetryBatch:
    """Return a batch with all its times by the service's clock; ``clock_error_ms`` is ``None`` where it is marked."""
    shift = at_unix_ms - batch.sent_at_unix_ms
    tables = {name: getattr(batch, name) for name in _TABLES}
    moved = {
        name: table.model_copy(update={"start_unix_ms": [start + shift for start in table.start_unix_ms]})
        for name, table in tables.items()
        if table.start_unix_ms
    }
    samples = batch.gpu.model_copy(update={"at_unix_ms": [at + shift for at in batch.gpu.at_unix_ms]})
    stamps = {
        "sent_at_unix_ms": at_unix_ms,
        "clock_offset_ms": 0,
        "clock_error_ms": batch.clock_error_ms if bounded else None,
    }
    return batch.model_copy(update={**moved, "gpu": samples, **stamps})
