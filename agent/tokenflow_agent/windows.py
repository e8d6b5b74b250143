"""Cuts time into windows that follow one another without gaps."""

import time
from collections.abc import Callable
from typing import Final

from tokenflow_agent.sources import Window

LATE: Final = 0.1
"""Share of a window by which its end may be late before the window is said to be longer."""
_MIN_MS: Final = 100
_MAX_MS: Final = 600_000


class Windows:
    """The grid of windows.

    Their lengths add up to the time that passed: an end that is late by little is told as if it were in time, and
    the next window is that much shorter; one that is late by more makes its window longer.

    Args:
        steady: monotonic clock, in seconds.
        wall_ns: wall clock, in nanoseconds since 1970.
    """

    def __init__(
        self, *, steady: Callable[[], float] = time.monotonic, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._steady = steady
        self._wall_ns = wall_ns
        self._opened = steady()

    def left_s(self, length_s: float) -> float:
        """Return the time until the window ends, if it is to be so long."""
        return max(0.0, self._opened + length_s - self._steady())

    def close(self, length_s: float) -> Window:
        """End the window, which was to be so long, and begin the next one."""
        now = self._steady()
        due = self._opened + length_s
        end = due if due <= now <= due + LATE * length_s else now
        length_ms = min(max(round((end - self._opened) * 1000), _MIN_MS), _MAX_MS)
        start_unix_ms = self._wall_ns() // 1_000_000 - round((now - self._opened) * 1000)
        self._opened = end
        return Window(start_unix_ms=max(0, start_unix_ms), length_ms=length_ms)
