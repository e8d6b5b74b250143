"""Weighted max-min shares: nobody gets more than they can use while somebody else could use it.

Water-filling: all shares stand at one level, times their weight, but where a floor or a cap holds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What one of several would have of a budget, all in its unit.

    Attributes:
        floor: what it gets in any case.
        wanted: what it is likely to use, from the floor to the cap.
        cap: what it could use at most.
        weight: its share relative to the others, above 0.
    """

    floor: float
    wanted: float
    cap: float
    weight: float


def shares(budget: float, claims: Sequence[Claim]) -> list[float]:
    """Return what each claim gets: first up to what it wants, and of what is left up to its cap.

    Together they are the budget, unless the floors exceed it or the caps fall short of it.
    """
    first = filled(budget, [replace(claim, cap=claim.wanted) for claim in claims])
    return filled(budget, [replace(claim, floor=share) for claim, share in zip(claims, first, strict=True)])


def filled(budget: float, claims: Sequence[Claim]) -> list[float]:
    """Return the shares from floor to cap whose sum is the budget, as level as their weights allow."""
    level = _level(budget, claims)
    return [min(max(level * claim.weight, claim.floor), claim.cap) for claim in claims]


def _level(budget: float, claims: Sequence[Claim]) -> float:
    """Walk up from level 0; each claim begins to rise at its floor, and stops at its cap."""
    turns = sorted(
        turn
        for claim in claims
        for turn in ((claim.floor / claim.weight, claim.weight), (claim.cap / claim.weight, -claim.weight))
    )
    level, total, slope = 0.0, sum(claim.floor for claim in claims), 0.0
    if total >= budget:
        return level
    for at, change in turns:
        gained = slope * (at - level)
        if total + gained >= budget:
            return level + (budget - total) / slope
        level, total, slope = at, total + gained, slope + change
    return level
