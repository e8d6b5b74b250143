"""Takes turns among network namespaces, so that reading many of them keeps to a share of a core."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

SHARE: Final = 0.005
"""Of a core, at most."""
_LONGEST_S: Final = 60.0
"""Time that is saved up at most."""


class Rotation:
    """Goes round all namespaces, as far as the time allows.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -1
        self._ended = clock()
        self._saved_s = SHARE * _LONGEST_S

    def turn(self, processes: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Yield namespaces with a pid of each, every one at most once, until the share is used up.

        At least one is yielded as soon as what the one before it cost is made up for.
        """
        now = self._clock()
        self._saved_s = min(self._saved_s + SHARE * (now - self._ended), SHARE * _LONGEST_S)
        order = sorted(processes)
        start = next((place for place, inode in enumerate(order) if inode > self._last), 0)
        for inode in (*order[start:], *order[:start]):
            if self._saved_s < 0:
                break
            self._last = inode
            yield inode, processes[inode]
            spent = self._clock() - now
            self._saved_s, now = self._saved_s - spent, now + spent
        self._ended = now
