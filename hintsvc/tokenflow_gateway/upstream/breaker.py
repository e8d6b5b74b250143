"""A circuit breaker: an upstream that fails again and again is left alone for a while (Nygard, *Release It!*, 2007)."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FAILURES_IN_A_ROW: Final = 5
SHARE_OF: Final = 20
"""Requests of which half may not fail,"""
SHARE_WITHIN_S: Final = 30.0
"""if they were within so many seconds."""
FIRST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 30.0


class BreakerState(StrEnum):
    """What a breaker does with the next request."""

    CLOSED = "Closed"
    """It passes."""
    HALF_OPEN = "HalfOpen"
    """It passes alone, and shows whether others may."""
    OPEN = "Open"
    """It does not pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """Leave to send a request.

    Attributes:
        era: counts the changes of state; what an earlier era sent proves nothing of the present one.
        probe: whether it is the one that a half-open breaker lets through.
    """

    era: int
    probe: bool


class Breaker:
    """Decides whether an upstream is asked at all. It rests twice as long after each probe that failed.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._era = 0
        self._in_a_row = 0
        self._recent: deque[tuple[float, bool]] = deque(maxlen=SHARE_OF)
        self._rest_s = 0.0
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """What happens to the next request."""
        if not self._rest_s:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock() < self._until else BreakerState.HALF_OPEN

    @property
    def passes(self) -> bool:
        """Whether a request may be sent now."""
        state = self.state
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self._probing)

    @property
    def rests_s(self) -> float:
        """Seconds until a probe may be sent; 0 when it is closed."""
        return max(0.0, self._until - self._clock()) if self._rest_s else 0.0

    def enter(self) -> Pass:
        """Return leave for a request; ask ``passes`` first."""
        probe = self.state is BreakerState.HALF_OPEN
        self._probing = self._probing or probe
        return Pass(era=self._era, probe=probe)

    def succeeded(self, given: Pass) -> None:
        """Take in that the upstream answered."""
        if given.era != self._era:
            return
        if given.probe:
            self._close()
        self._in_a_row = 0
        self._recent.append((self._clock(), True))

    def failed(self, given: Pass) -> None:
        """Take in that the upstream failed."""
        if given.era != self._era:
            return
        now = self._clock()
        self._in_a_row += 1
        self._recent.append((now, False))
        if given.probe or self._in_a_row >= FAILURES_IN_A_ROW or self._half_failed(now):
            self._open(now)

    def left(self, given: Pass) -> None:
        """Take in that a request ended without showing anything: another may be the probe."""
        if given.era == self._era and given.probe:
            self._probing = False

    def _half_failed(self, now: float) -> bool:
        if len(self._recent) < SHARE_OF or now - self._recent[0][0] > SHARE_WITHIN_S:
            return False
        return sum(not answered for _, answered in self._recent) * 2 >= SHARE_OF

    def _open(self, now: float) -> None:
        self._rest_s = min(LONGEST_REST_S, self._rest_s * 2 or FIRST_REST_S)
        self._until = now + self._rest_s
        self._begin_era()

    def _close(self) -> None:
        self._rest_s = 0.0
        self._begin_era()

    def _begin_era(self) -> None:
        self._era += 1
        self._in_a_row = 0
        self._recent.clear()
        self._probing = False
