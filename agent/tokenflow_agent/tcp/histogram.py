"""Log-linear histogram of durations: four buckets of equal width in each power of two.

The layout is that of HdrHistogram with two significant bits; the kernel's half is in ``window.h``.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import Final

BUCKETS: Final = 100
"""The last one ends at 67 s; what is longer counts there."""
_PER_OCTAVE: Final = 4


def bucket(value_us: int) -> int:
    """Return the bucket of a duration in microseconds."""
    if value_us < _PER_OCTAVE:
        return value_us
    shift = value_us.bit_length() - 3
    return min(shift * _PER_OCTAVE + (value_us >> shift), BUCKETS - 1)


def merged(histograms: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return the histogram of all of them: no count is lost, and the order does not matter."""
    return tuple(map(sum, zip(*histograms, strict=True)))


def quantiles(buckets: Sequence[int], shares: Sequence[float]) -> list[int | None]:
    """Return a duration for each share (0.5 is the median), ``None`` without samples.

    Each is within 12 % of the sample that has that rank, as long as that is below 67 s.
    """
    below = list(accumulate(buckets))
    if not below[-1]:
        return [None] * len(shares)
    return [_middle(bisect_left(below, max(1, ceil(share * below[-1])))) for share in shares]


def _middle(number: int) -> int:
    """Return what stands for a bucket: the harmonic mean of its ends errs least, relative to either."""
    if number < _PER_OCTAVE:
        return number
    shift = number // _PER_OCTAVE - 1
    low = (number - shift * _PER_OCTAVE) << shift
    high = low + (1 << shift) - 1
    return round(2 * low * high / (low + high))
