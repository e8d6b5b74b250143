"""How far the hint service's clock is from a reporter's, estimated from each exchange.

A reply carries one stamp, so the offset is that of the middle of the exchange, and its error at most half of the
round trip. The exchange with the least error speaks, as in the clock filter of NTP (RFC 5905, section 10).
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

KEPT: Final = 16
"""Exchanges remembered."""
DRIFT: Final = 50e-6
"""Most by which two quartz clocks run apart: adds to the error of an exchange as it ages."""
STEP_MS: Final = 100.0
"""A wall clock that moved this far from the monotonic one was set."""
_STAMP_MS: Final = 1.0
"""Resolution of the stamps."""
_ROUNDING_MS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment by both clocks of this node, in milliseconds."""

    wall_ms: float
    steady_ms: float


def now() -> Instant:
    """Return this moment."""
    return Instant(wall_ms=time.time_ns() / 1e6, steady_ms=time.monotonic_ns() / 1e6)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of the receivers' clock.

    Attributes:
        offset_ms: add it to this node's stamps to get the receiver's time.
        error_ms: bound on the error of that; ``None`` while nothing bounds it.
    """

    offset_ms: int
    error_ms: int | None


@dataclass(frozen=True, slots=True)
class _Exchange:
    offset_ms: float
    error_ms: float
    steady_ms: float

    def error_at(self, steady_ms: float) -> float:
        return self.error_ms + DRIFT * (steady_ms - self.steady_ms)


class Clock:
    """Estimates the offset.

    A wall clock that is set voids all that was learned: the next exchange begins anew.

    Args:
        instant: tells this moment.
    """

    def __init__(self, instant: Callable[[], Instant] = now) -> None:
        self._instant = instant
        self._exchanges: deque[_Exchange] = deque(maxlen=KEPT)
        self._apart_ms = 0.0

    def exchanged(self, sent: Instant, received_at_unix_ms: int) -> None:
        """Learn from a reply that has just arrived.

        Args:
            sent: when the request left.
            received_at_unix_ms: the receiver's stamp in the reply.
        """
        arrived = self._instant()
        if self._was_set(sent) or self._was_set(arrived):
            self._exchanges.clear()
        if abs(_apart(arrived) - _apart(sent)) > STEP_MS:
            return
        self._apart_ms = _apart(arrived)
        error_ms = (arrived.steady_ms - sent.steady_ms) / 2
        middle_ms = arrived.wall_ms - error_ms
        self._exchanges.append(
            _Exchange(received_at_unix_ms - middle_ms, error_ms + _STAMP_MS, steady_ms=arrived.steady_ms)
        )

    def reading(self) -> Reading:
        """Return what is known now."""
        moment = self._instant()
        if self._was_set(moment):
            self._exchanges.clear()
        if not self._exchanges:
            return Reading(0, None)
        best = min(self._exchanges, key=lambda exchange: exchange.error_at(moment.steady_ms))
        return Reading(round(best.offset_ms), math.ceil(best.error_at(moment.steady_ms) + _ROUNDING_MS))

    def _was_set(self, moment: Instant) -> bool:
        return bool(self._exchanges) and abs(_apart(moment) - self._apart_ms) > STEP_MS


def _apart(moment: Instant) -> float:
    return moment.wall_ms - moment.steady_ms
