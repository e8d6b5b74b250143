"""The laws by which a stream paces itself, from what its own connection says.

While the connection delivers at once it is clear, and nothing is held back. Once its backlog ages, tokens go out in
batches; where it grows in spite of them, or is very old, the rate follows what is really delivered, a little more while
the backlog is short and less while it is long, so that it settles at the target:

    r = clamp(D / beta * (1 + clip(k * (tau - q) / tau, -0.7, k)), r_min, r_max)

with D the delivered bytes per second, beta the bytes of a token as they are sent at present, tau the policy's target
backlog, and q = B / D the age of the backlog: B are the bytes that were written and did not arrive, less those that an
empty path holds. With B* = tau * D this is proportional control of the backlog around B*:
dB/dt = -(k / tau) * (B - B*), one pole and no bias. With a feedback delay d it is stable where k * d / tau < pi / 2 and
does not swing where that is at most 1 / e (Hayes, 1950); k is chosen for the latter.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from tokenflow_api.hints import PathState
from tokenflow_gateway.stream.limits import Limits

MOST_GAIN: Final = 0.5
MOST_CUT: Final = 0.7
"""Share of what is delivered that an old backlog takes at most, to drain."""
LOOP_DELAY_S: Final = 0.75
"""Half a second of averaging, and a quarter until the next look."""

ENTER_LOOKS: Final = 2
LEAVE_LOOKS: Final = 4
MOST_PATIENCE: Final = 480
"""Looks that leaving takes at most: twice as many each time that it did not last."""
SHRINK_LOOKS: Final = 8
"""Looks of a clear connection before its batches shrink by half: an event costs far more than a token adds to it."""
LOSS_SHARE: Final = 0.4
"""Share of the longest delay for paths that lose packets: fewer are lost of fewer, and nothing else is gained."""
_LEAST_SHARE: Final = 0.2
GRACE_LOOKS: Final = 8
MOST_GRACE: Final = 4.0
"""Target backlogs that one may be old while batches alone are tried: an older one wants both at once."""
GROWS: Final = 1.1
"""Times what it was when they began from which a backlog grows in spite of batches."""
FORGIVE_LOOKS: Final = 40
"""A connection that has been clear for so long is congested anew, not again."""
LEAVE_SHARE: Final = 0.25
"""Share of the target backlog below which the backlog counts as gone."""

CATCH_UP_S: Final = 0.1
"""How far lateness may be made up for: beyond that the time is lost, and no burst follows a pause."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketLook:
    """What a stream's connection says, over the last second or so.

    Attributes:
        delivered: bytes of the stream per second that the reader acknowledged; 0 while a backlog stands still.
        backlog_bytes: of the stream that are on their way, beyond those of its last event and of an empty path.
        bytes_per_token: as they were sent of late, 0 before the first.
        loss: share of the stream's events that had to be sent again, 0 while that may be chance.
    """

    delivered: float
    backlog_bytes: float
    bytes_per_token: float
    loss: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketLaw:
    """What the law remembers of one stream's connection.

    Attributes:
        state: clear or congested.
        streak: looks in a row that spoke for the other state: while clear, those with a backlog to speak of.
        patience: looks that the backlog must be gone before the connection is clear.
        rested: looks that it has been clear.
        batching: share of the policy's longest delay that tokens may wait for one another.
        calm: looks in a row in which nothing wanted them to.
        grace: looks left to see what batches do before the rate is lowered.
        began_s: age of the backlog when they began.
        rate: tokens per second that it bears; ``None`` while clear, or in grace, which binds nothing.
    """

    state: PathState = PathState.CLEAR
    streak: int = 0
    patience: int = LEAVE_LOOKS
    rested: int = FORGIVE_LOOKS
    batching: float = 0.0
    calm: int = 0
    grace: int = 0
    began_s: float = 0.0
    rate: float | None = None

    @property
    def congested(self) -> bool:
        """Whether it holds the stream back."""
        return self.state is PathState.CONGESTED

    @property
    def forgiven(self) -> bool:
        """Whether it has been clear for so long that its past says nothing."""
        return self.rested >= FORGIVE_LOOKS

    def next(self, look: SocketLook, limits: Limits) -> "SocketLaw":
        """Take in one look."""
        age_s = backlog_age_s(look)
        law = self._left(age_s, limits) if self.congested else self._entered(age_s, limits)
        if look.loss > limits.loss and law.batching < LOSS_SHARE:
            law = replace(law, batching=LOSS_SHARE, calm=0)
        if not law.congested:
            return law
        if not look.delivered:
            # An outage is no measure of what the path bears.
            return law
        if law.rate is None and age_s < MOST_GRACE * limits.target_s:
            if law.grace:
                return replace(law, grace=law.grace - 1, began_s=law.began_s or age_s)
            if age_s <= GROWS * law.began_s:
                # Batches are all that it takes, or the queue is not the stream's at all.
                return replace(law, grace=GRACE_LOOKS, began_s=age_s)
        rate = socket_rate(look, limits)
        if law.streak and law.rate is not None:
            # The backlog is gone, so that what was delivered is what was offered, and no measure of what could be.
            rate = max(law.rate, rate)
        return replace(law, grace=0, rate=rate)

    def _entered(self, age_s: float, limits: Limits) -> "SocketLaw":
        streak = self.streak + 1 if age_s > LEAVE_SHARE * limits.target_s else 0
        if self.forgiven and not (streak or self.streak or self.batching):
            return self
        rested = min(FORGIVE_LOOKS, self.rested + 1)
        old = age_s > limits.target_s
        if streak >= ENTER_LOOKS and old:
            patience = LEAVE_LOOKS if self.forgiven else min(MOST_PATIENCE, 2 * self.patience)
            return SocketLaw(state=PathState.CONGESTED, patience=patience, rested=0, batching=1.0, grace=GRACE_LOOKS)
        if streak >= ENTER_LOOKS or old:
            # Batches come before a lower rate: they may be all that the path needs.
            return replace(self, streak=streak, rested=rested, batching=1.0, calm=0)
        return replace(self._calmer(), streak=streak, rested=rested)

    def _calmer(self) -> "SocketLaw":
        """Return what becomes of batches while nothing wants them."""
        calm = self.calm + 1 if self.batching else 0
        if not calm or calm % SHRINK_LOOKS:
            return replace(self, calm=calm)
        half = self.batching / 2
        return replace(self, calm=calm, batching=half if half >= _LEAST_SHARE else 0.0)

    def _left(self, age_s: float, limits: Limits) -> "SocketLaw":
        streak = self.streak + 1 if age_s < LEAVE_SHARE * limits.target_s else 0
        if streak < self.patience:
            return replace(self, streak=streak)
        return replace(self, state=PathState.CLEAR, streak=0, rested=0, calm=0, rate=None)


def backlog_age_s(look: SocketLook) -> float:
    """Return how long what is written now will take to arrive, beyond the time that an empty path takes."""
    if not look.backlog_bytes:
        return 0.0
    return look.backlog_bytes / look.delivered if look.delivered else math.inf


def gain(target_s: float) -> float:
    """Return k for a target backlog: the loop does not swing at its own delay, and is stable at four times it."""
    return min(MOST_GAIN, target_s / (math.e * LOOP_DELAY_S))


def socket_rate(look: SocketLook, limits: Limits) -> float:
    """Return the tokens per second that a congested connection bears."""
    if not look.bytes_per_token:
        return limits.least
    error = (limits.target_s - backlog_age_s(look)) / limits.target_s
    k = gain(limits.target_s)
    wanted = look.delivered / look.bytes_per_token * (1 + clip(k * error, -MOST_CUT, k))
    return clip(wanted, limits.least, limits.most)


def batch_size(rate: float, *, delay_s: float, most: int) -> int:
    """Return how many tokens to put into one event: as many as come within the delay."""
    return int(clip(math.ceil(rate * delay_s), 1, most))


def next_due(due: float, *, tokens: int, at: float, tokens_per_second: float) -> float:
    """Return when more may go out, after ``tokens`` that were due at ``due`` went out at ``at``.

    By absolute times, so that the delays of timers do not add up: over any stretch of time no more goes out than the
    rate times that stretch, and one batch, and what ``CATCH_UP_S`` bears.
    """
    return max(due, at - CATCH_UP_S) + tokens / tokens_per_second


def clip(value: float, low: float, high: float) -> float:
    """Return the value nearest to ``value`` from ``low`` to ``high``."""
    return min(max(value, low), high)
