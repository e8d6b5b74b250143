"""A batch as it is stored: the bytes that travelled, and what was made of their time."""

from dataclasses import dataclass
from typing import Final, Self

from tokenflow_api.codec import decode
from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_hintsvc.ingest.clock import corrected

_BOUNDED: Final = b"+"
_MARKED: Final = b"?"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBatch:
    """One batch.

    Attributes:
        at_unix_ms: when it was built, by the service's clock.
        bounded: whether the error of that is bounded.
        data: as it travelled.
    """

    at_unix_ms: int
    bounded: bool
    data: bytes

    def pack(self) -> bytes:
        """Return it as it is stored, without its time."""
        return (_BOUNDED if self.bounded else _MARKED) + self.data

    @classmethod
    def unpack(cls, packed: bytes, *, at_unix_ms: int) -> Self:
        """Return the batch that ``pack`` packed."""
        return cls(at_unix_ms=at_unix_ms, bounded=packed[:1] == _BOUNDED, data=packed[1:])

    def read(self) -> TelemetryBatch:
        """Return the batch, all its times by the service's clock; takes some 0.2 ms.

        Raises:
            CodecError: it is of another release.
        """
        return corrected(decode(self.data, TelemetryBatch), at_unix_ms=self.at_unix_ms, bounded=self.bounded)
