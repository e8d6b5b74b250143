"""The last windows, kept as they travel: a tenth of what they take unpacked."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from tokenflow_api.codec import decode
from tokenflow_api.telemetry import TelemetryBatch

KEPT: Final = 16


class History:
    """What ``/windows`` offers."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)

    def add(self, sequence: int, encoded: bytes) -> None:
        """Keep a window; the oldest makes room."""
        self._kept.append((sequence, encoded))

    def after(self, sequence: int) -> Iterator[str]:
        """Yield the JSON of every window with a higher sequence, oldest first."""
        for number, encoded in tuple(self._kept):
            if number > sequence:
                yield decode(encoded, TelemetryBatch).model_dump_json()
