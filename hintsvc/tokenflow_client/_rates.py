"""The rate that streams go by: the newest, or the mean of the last N where that is lower."""

from collections import deque
from typing import Final

MEAN_OF: Final = 8
"""Hints averaged: two seconds of them."""


class MeanRate:
    """The mean of the last N rates, kept ready to be read from any thread.

    A rate that falls counts at once, for the network is full now. One that rises counts as the mean does, so that a
    path that wavers is not driven into its queue with each breath.

    Args:
        last: rates averaged.
    """

    def __init__(self, last: int = MEAN_OF) -> None:
        self._rates: deque[float] = deque(maxlen=last)
        self.mean: float | None = None

    def add(self, tokens_per_second: float) -> None:
        """Take the newest rate."""
        self._rates.append(tokens_per_second)
        self.mean = sum(self._rates) / len(self._rates)

    def clear(self) -> None:
        """Forget all: what comes next has nothing to do with it."""
        self._rates.clear()
        self.mean = None

    def smooth(self, tokens_per_second: float) -> float:
        """Return the newest rate, or the mean where that is lower."""
        return tokens_per_second if self.mean is None else min(tokens_per_second, self.mean)
