"""Keeps costly looks at the node to a share of the time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SHARE: Final = 0.002
"""Of a core, at most."""
UPKEEP_S: Final = 30.0
"""Longest time without a look: what ended has to be noticed too."""


class Pace:
    """Tells when to look again.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._allowed = self._due = float("-inf")

    def due(self, *, wanted: bool) -> bool:
        """Tell whether to look now: where it is wanted as soon as the share allows, else for upkeep."""
        return self._clock() >= (self._allowed if wanted else self._due)

    @contextmanager
    def look(self) -> Iterator[None]:
        """Measure what a look costs."""
        began = self._clock()
        yield
        ended = self._clock()
        self._allowed, self._due = ended + (ended - began) / SHARE, ended + UPKEEP_S
