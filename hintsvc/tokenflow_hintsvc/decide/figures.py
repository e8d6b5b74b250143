"""Arithmetic with figures of which some are unknown."""

from collections.abc import Iterable


def least(figures: Iterable[float | None]) -> float | None:
    """Return the least of those that are known."""
    return min((figure for figure in figures if figure is not None), default=None)


def greatest(figures: Iterable[float | None]) -> float | None:
    """Return the greatest of those that are known."""
    return max((figure for figure in figures if figure is not None), default=None)


def total(figures: Iterable[float | None]) -> float | None:
    """Return the sum; unknown where one of them is."""
    known = list(figures)
    return None if None in known else sum(figure for figure in known if figure is not None)


def clip(value: float, low: float, high: float) -> float:
    """Return the value nearest to ``value`` from ``low`` to ``high``."""
    return min(max(value, low), high)
