"""Whether what a model sees today is what it learned from: two distances between samples.

A distance counts rather than its p-value: windows that follow one another are alike, so that a test for independent
samples would call any two minutes different.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

KS_LIMIT: Final = 0.25
PSI_LIMIT: Final = 0.25
"""The usual word for a population that has shifted."""
LEAST_ROWS: Final = 300
"""With fewer, a sample's own noise is too large a part of the distance."""
_BINS: Final = 10
_FLOOR: Final = 1e-4

Sample = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """How far two samples are apart.

    Attributes:
        ks: greatest difference between their distribution functions, 0 to 1.
        psi: population stability index, 0 or more.
    """

    ks: float
    psi: float

    def exceeds(self, share: float) -> bool:
        """Whether both distances are above this share of their limits."""
        return self.ks > KS_LIMIT * share and self.psi > PSI_LIMIT * share


def distance(reference: Sample, recent: Sample) -> Distance:
    """Return how far ``recent`` is from ``reference``; both without NaN."""
    return Distance(ks=kolmogorov_smirnov(reference, recent), psi=stability_index(reference, recent))


def kolmogorov_smirnov(one: Sample, other: Sample) -> float:
    """Return the two-sample Kolmogorov-Smirnov statistic.

    Source: N. Smirnov, Table for estimating the goodness of fit of empirical distributions (1948).
    """
    one, other = np.sort(one), np.sort(other)
    places = np.concatenate([one, other])
    below_one = np.searchsorted(one, places, side="right") / len(one)
    below_other = np.searchsorted(other, places, side="right") / len(other)
    return float(np.abs(below_one - below_other).max())


def stability_index(reference: Sample, recent: Sample) -> float:
    """Return the population stability index over the deciles of ``reference``.

    Source: N. Siddiqi, Credit Risk Scorecards (2006).
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    expected = np.maximum(_shares(reference, edges), _FLOOR)
    found = np.maximum(_shares(recent, edges), _FLOOR)
    return float(((found - expected) * np.log(found / expected)).sum())


def _shares(sample: Sample, edges: Sample) -> NDArray[np.float64]:
    counts = np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1)
    shares: NDArray[np.float64] = counts / len(sample)
    return shares
