"""Figures that were measured, and what they are compared with."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_RESAMPLES: Final = 4000
_SEED: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Something measured.

    Attributes:
        name: what it is.
        value: how much, with its unit.
        goal: what it should be; empty where there is no goal.
        met: whether it is so; ``None`` where there is no goal.
        how: conditions under which it was measured.
    """

    name: str
    value: str
    goal: str = ""
    met: bool | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The median of ratios, with the bounds of its 95 % confidence interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} (95 % {self.low:.3f} to {self.high:.3f})"


def median_ratio(measured: Sequence[float], against: Sequence[float]) -> Estimate:
    """Return the median of the ratios of each round, and its interval by the bootstrap.

    Taking the ratio within each round leaves out what changes slowly, such as other load on the machine.

    Args:
        measured: one value per round.
        against: the value of the same round to divide by.
    """
    ratios = [one / other for one, other in zip(measured, against, strict=True)]
    # The same seed each time: equal measurements give equal intervals.
    chance = random.Random(_SEED)  # noqa: S311 - statistics, not secrets
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    return Estimate(statistics.median(ratios), medians[round(0.025 * _RESAMPLES)], medians[round(0.975 * _RESAMPLES)])
