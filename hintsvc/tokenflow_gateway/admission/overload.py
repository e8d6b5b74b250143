"""What this gateway itself bears: streams, and an event loop that keeps up."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from tokenflow_api.quotas.limits import trunk
from tokenflow_gateway.admission import metrics

LAG_FIRST_S: Final = 0.05
"""The event loop is so late when the lowest priority is shed."""
LAG_LAST_S: Final = 0.25
"""The event loop is so late when the highest priority is shed as well."""
RECOVERED: Final = 0.5
"""A priority that was shed for the loop's lag is let in again below this share of what it was shed at."""
TICK_S: Final = 0.1
_SMOOTHING: Final = 0.3
"""Weight of the newest tick: one late tick is a hiccup, a few in a row are an overload."""


class LoopLag:
    """How late the event loop is, smoothed: how long past its time a timer fires.

    Args:
        clock: the loop's, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: float | None = None
        self.lag_s = 0.0
        metrics.LOOP_LAG.set_function(lambda: self.lag_s)

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """Take in one firing of the timer, and expect the next after ``TICK_S``."""
        now = self._clock()
        if self._due is not None:
            self.lag_s += _SMOOTHING * (max(0.0, now - self._due) - self.lag_s)
        self._due = now + TICK_S


class Overload:
    """Says whose requests this gateway refuses to protect those that run: lowest priority first.

    Tenants of the highest priority may fill all streams; those of the lowest leave a fifth of them free, and those
    between are spaced evenly by rank. So it is with the lag of the event loop, between ``LAG_FIRST_S`` and
    ``LAG_LAST_S``; who was refused for it comes back only when the lag is well below.
    """

    def __init__(self) -> None:
        self._shed: set[int] = set()
        self.configure(max_streams=1, priorities=(0,))

    def configure(self, *, max_streams: int, priorities: Sequence[int]) -> None:
        """Go by other bounds from now on.

        Args:
            max_streams: requests that run at once.
            priorities: of the tenants, one at least.
        """
        ranks = sorted(set(priorities))
        step = (LAG_LAST_S - LAG_FIRST_S) / max(1, len(ranks) - 1)
        self._streams = {one: trunk(one, priorities=ranks, capacity=max_streams) for one in ranks}
        self._lag_s = {one: LAG_LAST_S - step * above for above, one in enumerate(reversed(ranks))}
        self._shed &= set(ranks)

    def refuses(self, priority: int, *, streams: int, lag_s: float) -> str:
        """Return why a request is refused; empty where it is let in.

        Args:
            priority: of its tenant.
            streams: that run.
            lag_s: of the event loop.
        """
        # A tenant whose priority has just been changed asks by the one that it had.
        priority = max((one for one in self._streams if one <= priority), default=min(self._streams))
        if streams >= self._streams[priority]:
            return f"{streams} requests run here, and the rest is kept for higher priorities (spec.gateway.maxStreams)"
        bound = self._lag_s[priority] * (RECOVERED if priority in self._shed else 1.0)
        if lag_s >= bound:
            self._shed.add(priority)
            return f"the event loop is {lag_s * 1000:.0f} ms late"
        self._shed.discard(priority)
        return ""
