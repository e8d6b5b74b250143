"""How long tokens wait for one another: raised before a rate is lowered, and lowered after it has come back.

An event costs about forty times what a token adds to it. Four events per second instead of sixty take nine tenths
off the wire, and no reader sees a difference; so a congested path is batched first, and slowed down only if its
queue stays. Once the path is clear again, batches shrink step by step. Where that brings the queue back, the next
try waits twice as long.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from tokenflow_hintsvc.decide.figures import clip
from tokenflow_hintsvc.decide.limits import Limits

GRACE_WINDOWS: Final = 2
"""Windows that batches are given to drain the queue before the rate is lowered."""

CALM_WINDOWS: Final = 8
"""Windows of a clear path before batches shrink: a rate needs about as many to come back."""
MOST_CALM_WINDOWS: Final = 128
_LEAST_SHARE: Final = 0.2
LONGEST_GAP_S: Final = 1.0
"""Most time between two events of a stream that is slowed down: more reads as a stall, and tells little of the path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batching:
    """How far a bottleneck's streams are batched.

    Attributes:
        share: of the policy's longest delay, 0 to 1.
        grace: windows left to see what batches do.
        calm: windows that the path has been clear.
        patience: of them before batches shrink.
        shrunk: whether batches were longer of late, so that a queue speaks against their having shrunk.
    """

    share: float = 0.0
    grace: int = 0
    calm: int = 0
    patience: int = CALM_WINDOWS
    shrunk: bool = False


def congested(batching: Batching) -> Batching:
    """Return what becomes of batches in a window of a congested path."""
    if batching.share == 1.0:
        return replace(batching, grace=max(0, batching.grace - 1), calm=0)
    patience = min(MOST_CALM_WINDOWS, batching.patience * 2) if batching.shrunk else batching.patience
    # A queue that came in spite of batches will not go because of them.
    return Batching(share=1.0, grace=0 if batching.share else GRACE_WINDOWS, patience=patience, shrunk=True)


def clear(batching: Batching) -> Batching:
    """Return what becomes of batches in a window of a clear path."""
    calm = batching.calm + 1
    if calm < batching.patience:
        return replace(batching, grace=0, calm=calm)
    if not batching.share:
        # Long enough without batches: the next congestion is a new one.
        return Batching(calm=calm)
    share = batching.share / 2
    return replace(batching, share=share if share >= _LEAST_SHARE else 0.0, grace=0, calm=0)


def delay_s(batching: Batching, limits: Limits) -> float:
    """Return how long a token may wait for its batch."""
    return batching.share * limits.batch_delay_s


def batch_size(rate: float, *, delay_s: float, limits: Limits) -> int:
    """Return how many tokens to put in one event, one where tokens may not wait for one another.

    As many as the greatest rate brings within the delay: where the rate is lower, tokens wait for their turn anyway,
    and lose nothing by going together, as long as events do not lie too far apart.
    """
    tokens = min(limits.most * delay_s, rate * max(delay_s, LONGEST_GAP_S))
    return int(clip(math.ceil(tokens), 1, limits.batch_size))
