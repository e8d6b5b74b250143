"""How fast a rate may change: streams that jump would swing the queue, and annoy their readers."""

from typing import Final

from tokenflow_hintsvc.decide.control import Control
from tokenflow_hintsvc.decide.figures import clip
from tokenflow_hintsvc.decide.gate import FORGIVE_WINDOWS, LEAVE_WINDOWS

GROWTH_PER_S: Final = 1.2
"""Most that a rate may grow in a second, as a factor."""
GENTLE_GROWTH_PER_S: Final = 1.1
GENTLE_WINDOWS: Final = 5
"""Windows after congestion in which it grows more slowly: so long it takes until a queue that comes back is seen. Where
one did come back, there are as many times more of them as the path now takes longer to count as clear."""
USED: Final = 1.5
"""Times what a stream was delivered from which a rate that is cut starts: the rest of it held back nobody."""
CUT_PER_S: Final = 0.5
"""Least that a second may leave of it."""


def slewed(
    rate: float, told: float, *, control: Control, elapsed_s: float, used: float | None = None, delivered: float = 0.0
) -> float:
    """Return the part of the way to a rate that the time since the last one was told allows.

    Args:
        rate: to get to.
        told: the last one.
        control: of the bottleneck.
        elapsed_s: seconds since then.
        used: tokens per second that one stream was delivered of late; ``None`` where nobody told.
        delivered: the same in the last window: up to there a rate may grow at once.
    """
    gentle_windows = min(FORGIVE_WINDOWS, GENTLE_WINDOWS * control.gate.patience // LEAVE_WINDOWS)
    gentle = not control.congested and control.gate.rested < gentle_windows
    if control.blame.others:
        # It was lowered for nothing.
        return rate
    growth = GENTLE_GROWTH_PER_S if gentle else GROWTH_PER_S
    in_force = told if used is None else min(told, USED * used)
    return clip(rate, in_force * CUT_PER_S**elapsed_s, max(delivered, told * growth**elapsed_s))
