"""Figures that were measured, and what they are compared with."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

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
    """What rounds say of a value, with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} (95 % {self.low:.3f} to {self.high:.3f})"


def median_ratio(measured: Sequence[float], against: Sequence[float]) -> Estimate:
    """Return the median of the ratios of each round.

    Taking the ratio within each round leaves out what changes slowly, such as other load on the machine.

    Args:
        measured: one value per round.
        against: the value of the same round to divide by.
    """
    ratios = [one / other for one, other in zip(measured, against, strict=True)]
    return bootstrap(ratios, statistics.median)


def ratio_of_means(measured: Sequence[float], against: Sequence[float]) -> Estimate | None:
    """Return the ratio of what all rounds have together, which bears rounds with nothing in them.

    Args:
        measured: one value per round.
        against: the value of the same round to compare with.

    Returns:
        The ratio; ``None`` where there is nothing to divide by.
    """
    pairs = list(zip(measured, against, strict=True))
    if not sum(against):
        return None

    def ratio(drawn: Sequence[tuple[float, float]]) -> float:
        return sum(one for one, _ in drawn) / (sum(other for _, other in drawn) or math.inf)

    return bootstrap(pairs, ratio)


def mean(values: Sequence[float]) -> Estimate:
    """Return the mean of values, at least one."""
    return bootstrap(values, statistics.fmean)


def bootstrap(rounds: Sequence[T], statistic: Callable[[Sequence[T]], float]) -> Estimate:
    """Return a statistic of rounds, with its interval by the bootstrap: rounds are drawn anew, whole."""
    # The same seed each time: equal measurements give equal intervals.
    chance = random.Random(_SEED)  # noqa: S311 - statistics, not secrets
    drawn = sorted(statistic(chance.choices(rounds, k=len(rounds))) for _ in range(_RESAMPLES))
    return Estimate(statistic(rounds), drawn[round(0.025 * _RESAMPLES)], drawn[round(0.975 * _RESAMPLES)])
