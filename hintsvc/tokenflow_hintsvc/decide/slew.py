"""How fast a rate may change: streams that jump would swing the queue, and annoy their readers."""

from typing import Final

from tokenflow_hintsvc.decide.control import Control
from tokenflow_hintsvc.decide.figures import clip

GROWTH_PER_S: Final = 1.5
"""Most that a rate may grow in a second, as a factor."""
GENTLE_GROWTH_PER_S: Final = 1.1
GENTLE_WINDOWS: Final = 5
"""Windows after congestion in which it grows more slowly: so long it takes until a queue that comes back is seen."""
CUT_PER_S: Final = 0.5
"""Least that a second may leave of it."""


def slewed(rate: float, told: float, *, control: Control, elapsed_s: float) -> float:
    """Return the part of the way from the rate that was told ``elapsed_s`` seconds ago that this time allows."""
    gentle = not control.congested and control.gate.rested < GENTLE_WINDOWS
    growth = GENTLE_GROWTH_PER_S if gentle else GROWTH_PER_S
    return clip(rate, told * CUT_PER_S**elapsed_s, told * growth**elapsed_s)
