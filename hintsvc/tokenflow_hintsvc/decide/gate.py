"""When a path counts as congested, and when no more: both changes want several windows in a row."""

from dataclasses import dataclass, replace
from typing import Final

from tokenflow_api.hints import PathState
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.samples import BottleneckSample
from tokenflow_hintsvc.decide.terms import RTT_FLOOR_US

ENTER_WINDOWS: Final = 2
LEAVE_WINDOWS: Final = 3
MOST_PATIENCE: Final = 24
"""Windows that leaving takes at most: twice as many each time that it did not last."""
FORGIVE_WINDOWS: Final = 30
"""A path that has been clear for so long is congested anew, not again."""
ENTER_SHARE: Final = 0.5
"""Share of the target delay that a queue must exceed to be called congestion."""
LEAVE_SHARE: Final = 0.1
"""Share that it must stay below to be called gone: the serialisation of one packet keeps a thin link above it."""
DELAYED_ACK_S: Final = 0.045
"""An acknowledgement that waits for a second segment, 40 ms on Linux, is no queue."""


def queue_s(sample: BottleneckSample, *, baseline_us: float | None) -> float | None:
    """Return how long a token waits, on the way and before it, in seconds; ``None`` where nothing tells.

    Without a round-trip time what waits in the gateways still tells of a way that takes nothing any more.
    """
    on_the_way = None
    if sample.rtt_us is not None and baseline_us is not None:
        on_the_way = max(0.0, sample.rtt_us - baseline_us) / 1e6
    if on_the_way is None:
        return sample.unsent_s or None
    return on_the_way + (sample.unsent_s or 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A state, and what speaks for the other one.

    Attributes:
        state: clear or congested.
        streak: windows in a row that spoke for the other state.
        patience: windows that the queue must be gone before the path is clear.
        rested: windows that it has been clear.
    """

    state: PathState = PathState.CLEAR
    streak: int = 0
    patience: int = LEAVE_WINDOWS
    rested: int = FORGIVE_WINDOWS

    def next(self, queue_s: float | None, *, baseline_us: float | None, limits: Limits) -> "Gate":
        """Take in the queue of one window, if it told of one."""
        if queue_s is None:
            return self
        if self.state is PathState.CLEAR:
            return self._clear(long=_long(queue_s, baseline_us or 0.0, limits))
        return self._congested(gone=_is_gone(queue_s, limits))

    def _clear(self, *, long: bool) -> "Gate":
        streak = self.streak + 1 if long else 0
        rested = min(FORGIVE_WINDOWS, self.rested + 1)
        if streak < ENTER_WINDOWS:
            return replace(self, streak=streak, rested=rested)
        patience = LEAVE_WINDOWS if rested == FORGIVE_WINDOWS else min(MOST_PATIENCE, 2 * self.patience)
        return Gate(state=PathState.CONGESTED, patience=patience, rested=0)

    def _congested(self, *, gone: bool) -> "Gate":
        streak = self.streak + 1 if gone else 0
        if streak < self.patience:
            return replace(self, streak=streak)
        return replace(self, state=PathState.CLEAR, streak=0)


def _is_gone(queue_s: float, limits: Limits) -> bool:
    """Whether a queue is none to speak of."""
    return queue_s < max(LEAVE_SHARE * limits.target_s, DELAYED_ACK_S)


def _long(queue_s: float, baseline_us: float, limits: Limits) -> bool:
    """Whether a queue is long for the target, and long for the path."""
    inflation = 1 + queue_s * 1e6 / (baseline_us + RTT_FLOOR_US)
    return queue_s > max(ENTER_SHARE * limits.target_s, DELAYED_ACK_S) and inflation > limits.inflation
