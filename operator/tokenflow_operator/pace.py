"""How often something may happen: token buckets."""

import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

_MANY: Final = 1024


class Pace:
    """Lets ``burst`` things happen at once, and ``per_s`` a second in the long run."""

    def __init__(self, *, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def spend(self) -> float:
        """Take note of one, and return the seconds to wait before the next."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s) - 1
        self._at = now
        return max(0.0, (1 - self._tokens) / self._per_s)

    @property
    def rested(self) -> bool:
        """Whether as much may happen at once as ever."""
        return self._tokens + (self._clock() - self._at) * self._per_s >= self._burst


class Paces(Generic[KeyT]):
    """One pace for each key."""

    def __init__(self, *, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._paces: dict[KeyT, Pace] = {}

    def __len__(self) -> int:
        return len(self._paces)

    def spend(self, key: KeyT) -> float:
        """Take note of one thing of the key's, and return the seconds to wait before its next."""
        if key not in self._paces:
            if len(self._paces) >= _MANY:
                self._paces = {other: pace for other, pace in self._paces.items() if not pace.rested}
            self._paces[key] = Pace(per_s=self._per_s, burst=self._burst, clock=self._clock)
        return self._paces[key].spend()
