"""How requests went."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.windows import HttpWindows

_FAILED: Final = frozenset(
    # Answers of the server's own making, and those of gRPC that mean the same.
    {"5xx", "aborted", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)

FEW: Final = 20
"""Requests in a window below which a share of them is not taken at its word."""


@dataclass(slots=True)
class Requests:
    """The requests of one window.

    Attributes:
        total: that ended.
        failed: of them by no fault of the client's, or broken off.
        p99_us: longest 99th percentile of the time to the first byte. The whole answer's time would only tell
            how much a model had to say.
    """

    total: int = 0
    failed: int = 0
    p99_us: int = 0

    def read(self, rows: HttpWindows, row: int) -> None:
        """Take in one row of a table."""
        self.total += rows.requests[row]
        if rows.status[row] in _FAILED:
            self.failed += rows.requests[row]
        self.p99_us = max(self.p99_us, rows.first_byte_p99_us[row])

    def add(self, other: "Requests") -> None:
        """Take in those of another port."""
        self.total += other.total
        self.failed += other.failed
        self.p99_us = max(self.p99_us, other.p99_us)

    @property
    def slowest_us(self) -> float | None:
        """The time to the first byte, as in ``p99_us``; ``None`` where there was no request."""
        return float(self.p99_us) if self.total else None

    @property
    def error_ratio(self) -> float | None:
        """Share of them that failed, of ``FEW`` at least; ``None`` where there was none."""
        return self.failed / max(FEW, self.total) if self.total else None
