"""What the round-trip time of a bottleneck is without a queue: the least of the last minute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tokenflow_hintsvc.decide.figures import least
from tokenflow_hintsvc.decide.samples import BottleneckSample

WIDTH_MS: Final = 60_000
"""Longer than one would measure a path by, because the law keeps a standing queue, and a short window would take
that queue for the path itself."""
_BUCKET_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """Least round-trip times in microseconds, by the start of their bucket in Unix milliseconds."""

    minima: Mapping[int, float] = field(default_factory=dict)

    @property
    def least_us(self) -> float | None:
        """The path's own round-trip time, as far as it is known."""
        return min(self.minima.values(), default=None)


def slid(baseline: Baseline, sample: BottleneckSample, *, frozen: bool) -> Baseline:
    """Take in one window.

    Args:
        baseline: so far.
        sample: the window.
        frozen: whether nothing may expire: while a queue stands it would become the baseline.
    """
    bucket = sample.at_ms - sample.at_ms % _BUCKET_MS
    kept = {at: rtt for at, rtt in baseline.minima.items() if frozen or 0 <= sample.at_ms - at < WIDTH_MS}
    # What connections remember is for those who know nothing yet, such as the leader of a fresh path: it may be
    # minutes old, and would bring back a route that has changed.
    found = least((sample.rtt_min_us, sample.remembered_min_us if not kept else None, kept.get(bucket)))
    if found is None:
        return baseline if not kept else Baseline(kept)
    if frozen and kept:
        # One entry is all that counts, and it must not grow without bound.
        return Baseline({bucket: min(found, *kept.values())})
    return Baseline(kept | {bucket: found})
