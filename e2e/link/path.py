"""What a path does to packets, as a model of time alone: a bottleneck with a buffer, delay, jitter and loss.

Each direction is a queue that is served at a rate that may change over time, followed by a line that takes time.
Losses come before the queue, by chance for each packet or in bursts (the model of Gilbert and Elliott). Packets are
never put out of order: one that jitter would let overtake leaves together with the one before it.
"""

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate
from math import inf
from typing import Final

_ROUNDING: Final = 1e-9
_MOST_STEPS: Final = 10_000
"""Changes of the rate that one packet may wait through: beyond it the packet is lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bursts:
    """Losses that come together: a good state in which nothing is lost, and a bad one.

    Attributes:
        enter_percent: chance that a packet finds the path gone bad.
        leave_percent: chance that a packet finds it good again.
        loss_percent: chance that a packet is lost while it is bad.
    """

    enter_percent: float
    leave_percent: float
    loss_percent: float = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """How a path is for some time; what is not said is not limited.

    Attributes:
        kbit: rate from the near to the far end, in thousands of bits per second; 0 lets nothing through.
        trace_kbit: rates that follow one another, again from the start after the last; stands above ``kbit``.
        step_s: how long each rate of the trace holds.
        delay_ms: time that the line takes, in each direction.
        jitter_ms: most that is added to it, evenly distributed.
        loss_percent: chance that a packet is lost, in each direction.
        bursts: losses that come together, from the near to the far end.
        buffer_kib: what the queue before the bottleneck holds.
    """

    kbit: float | None = None
    trace_kbit: tuple[float, ...] = ()
    step_s: float = 1.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    bursts: Bursts | None = None
    buffer_kib: float = 256.0

    def rate(self, since_s: float) -> tuple[float, float]:
        """Return the rate in kbit/s so long after the phase began, and until when it holds."""
        if self.trace_kbit:
            step = int(since_s / self.step_s + _ROUNDING)
            return self.trace_kbit[step % len(self.trace_kbit)], (step + 1) * self.step_s
        return (inf if self.kbit is None else self.kbit), inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """Conditions that hold for some seconds; the last ones hold for ever."""

    seconds: float
    conditions: Conditions


def outage(seconds: float, conditions: Conditions) -> Phase:
    """Return a phase in which nothing passes, and whatever waits goes on waiting."""
    return Phase(seconds=seconds, conditions=replace(conditions, kbit=0.0, trace_kbit=()))


def upward(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return the way back of a path, from the far to the near end: as slow, as lossy, and only shut in an outage."""
    return tuple(
        Phase(
            seconds=phase.seconds,
            conditions=replace(
                phase.conditions, kbit=0.0 if phase.conditions.kbit == 0 else None, trace_kbit=(), bursts=None
            ),
        )
        for phase in phases
    )


class Lost(StrEnum):
    """Why a packet did not arrive."""

    CHANCE = "Chance"
    """The line lost it."""
    BUFFER = "Buffer"
    """The queue was full."""


class Direction:
    """One direction of a path.

    Args:
        phases: that follow one another, at least one.
        began: time at which the first of them began.
        seed: of what chance decides.
    """

    def __init__(self, phases: Sequence[Phase], *, began: float, seed: int) -> None:
        self._conditions = [phase.conditions for phase in phases]
        self._starts = [began, *accumulate((phase.seconds for phase in phases[:-1]), initial=began)][1:]
        self._chance = random.Random(seed)  # noqa: S311 - losses, not secrets
        self._bad = False
        self._waiting: deque[tuple[float, int]] = deque()
        self._queued = 0
        self._free_at = began
        self._last_out = began

    def offer(self, size: int, *, at: float) -> float | Lost:
        """Take a packet of ``size`` bytes, and return when it comes out at the other end, or why it does not."""
        conditions = self._conditions[self._phase(at)]
        if self._loses(conditions):
            return Lost.CHANCE
        while self._waiting and self._waiting[0][0] <= at:
            self._queued -= self._waiting.popleft()[1]
        if self._queued + size > conditions.buffer_kib * 1024:
            return Lost.BUFFER
        done = self._served(size, max(at, self._free_at))
        if done is None:
            return Lost.BUFFER
        if done > at:
            self._waiting.append((done, size))
            self._queued += size
        self._free_at = done
        line = self._conditions[self._phase(done)]
        out = done + (line.delay_ms + line.jitter_ms * self._chance.random()) / 1000
        self._last_out = max(self._last_out, out)
        return self._last_out

    def _phase(self, at: float) -> int:
        return max(0, bisect_right(self._starts, at) - 1)

    def _loses(self, conditions: Conditions) -> bool:
        lost = self._chance.random() * 100 < conditions.loss_percent
        bursts = conditions.bursts
        if bursts is None:
            return lost
        turns = bursts.leave_percent if self._bad else bursts.enter_percent
        self._bad ^= self._chance.random() * 100 < turns
        return lost or (self._bad and self._chance.random() * 100 < bursts.loss_percent)

    def _served(self, size: int, at: float) -> float | None:
        """Return when the bottleneck is done with a packet that it begins to send; ``None`` is never."""
        kbit = size * 8 / 1000
        for _ in range(_MOST_STEPS):
            index = self._phase(at)
            rate, until_s = self._conditions[index].rate(at - self._starts[index])
            ends = self._starts[index] + until_s
            if index + 1 < len(self._starts):
                ends = min(ends, self._starts[index + 1])
            if rate == inf:
                return at
            if rate and at + kbit / rate <= ends:
                return at + kbit / rate
            if ends == inf:
                return None
            kbit -= rate * (ends - at)
            at = ends
        return None
