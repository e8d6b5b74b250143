"""One wheel of timers for all streams.

Timers of the same few milliseconds share a slot, and only the earliest slot has a timer of the event loop: two
thousand streams cost the loop two hundred wake-ups per second at most, and none while nothing is scheduled.
"""

import heapq
import logging
import math
from collections.abc import Callable
from typing import Final, Protocol

_log = logging.getLogger(__name__)

TICK_S: Final = 0.005
"""Width of a slot, and so how late a timer may be; no timer is ever early."""
MOST_PER_TURN: Final = 512
"""Timers that run before the event loop gets its turn again."""
_EARLY: Final = 0.1
"""Share of a slot that counts as its end."""


class Handle(Protocol):
    """A timer of an event loop."""

    def cancel(self) -> None:
        """Call it off."""
        ...


CallAt = Callable[[float, Callable[[], None]], Handle]
"""Calls at a time of the wheel's clock, as ``loop.call_at`` does."""


class Timer:
    """Something to run later; it can be scheduled again and again."""

    __slots__ = ("_run", "_tick")

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._tick: int | None = None

    @property
    def scheduled(self) -> bool:
        """Whether it will run."""
        return self._tick is not None

    def cancel(self) -> None:
        """Do not run; its place in the slot is left void."""
        self._tick = None

    def close(self) -> None:
        """Never run again, and let go of what would have run: whoever owns the timer is freed without a cycle."""
        self._tick = None
        self._run = _nothing


class Wheel:
    """Runs timers at their times.

    Args:
        clock: monotonic, in seconds.
        call_at: calls once at a time of ``clock``.
    """

    def __init__(self, *, clock: Callable[[], float], call_at: CallAt) -> None:
        self.clock = clock
        self._call_at = call_at
        self._slots: dict[int, list[Timer]] = {}
        self._ticks: list[int] = []
        self._armed: Handle | None = None
        self._armed_tick = math.inf

    def schedule(self, timer: Timer, at: float) -> None:
        """Run ``timer`` at the first slot that is not before ``at``, and at no time set earlier."""
        tick = math.ceil(at / TICK_S)
        if timer._tick == tick:  # noqa: SLF001 - a timer is part of its wheel
            return
        timer._tick = tick  # noqa: SLF001
        slot = self._slots.get(tick)
        if slot is not None:
            slot.append(timer)
            return
        self._slots[tick] = [timer]
        heapq.heappush(self._ticks, tick)
        self._arm()

    def _arm(self) -> None:
        """Have the loop call at the earliest slot."""
        tick = self._ticks[0] if self._ticks else math.inf
        if tick >= self._armed_tick or tick == math.inf:
            return
        if self._armed is not None:
            self._armed.cancel()
        self._armed_tick = tick
        self._armed = self._call_at(tick * TICK_S, self._turn)

    def _turn(self) -> None:
        self._armed, self._armed_tick = None, math.inf
        # A loop may call a little early, by the resolution of its clock.
        now = math.floor(self.clock() / TICK_S + _EARLY)
        left = MOST_PER_TURN
        while self._ticks and self._ticks[0] <= now and left > 0:
            tick = heapq.heappop(self._ticks)
            slot = self._slots.pop(tick)
            for timer in slot[:left]:
                self._run(timer, tick)
            rest, left = slot[left:], left - len(slot)
            if rest:
                if tick not in self._slots:
                    heapq.heappush(self._ticks, tick)
                self._slots[tick] = rest + self._slots.get(tick, [])
        self._arm()

    @staticmethod
    def _run(timer: Timer, tick: int) -> None:
        """Run a timer unless it was called off, or set to another time, since it came into the slot."""
        if timer._tick != tick:  # noqa: SLF001
            return
        timer._tick = None  # noqa: SLF001
        try:
            timer._run()  # noqa: SLF001
        except Exception:  # noqa: BLE001 - one stream's mistake must not stop all the others
            _log.exception("a timer failed")


def _nothing() -> None:
    """Run in place of what a closed timer let go of."""
