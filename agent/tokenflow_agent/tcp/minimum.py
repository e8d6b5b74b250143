"""The least of what was seen lately."""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_MAX_WINDOWS: Final = 64


class SlidingMinimum(Generic[K]):
    """Least value per key over the windows of the last ``span_s`` seconds; at most 64 windows are kept."""

    def __init__(self, *, span_s: float) -> None:
        self._span_s = span_s
        self._windows: deque[tuple[float, Mapping[K, int]]] = deque(maxlen=_MAX_WINDOWS)

    def add(self, values: Mapping[K, int], *, now_s: float) -> None:
        """Take over the values of a window that ends ``now_s``, by a monotonic clock."""
        self._windows.append((now_s, values))
        while self._windows[0][0] <= now_s - self._span_s:
            self._windows.popleft()

    def least(self, key: K) -> int | None:
        """Return the least value of ``key``; ``None`` when it had none lately."""
        return min((values[key] for _, values in self._windows if key in values), default=None)
