"""The work queue between what is watched and who reconciles.

kopf could run handlers itself, but it serialises by watch event. Ours collapses any number of
events about one resource into one pass, never works on one resource twice at a time, and
keeps trying after a failure: what controllers elsewhere expect of ``client-go``'s workqueue.
"""

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait after the nth failure in a row: exponential with a cap, and jitter downwards.

    Attributes:
        base_s: seconds after the first failure.
        cap_s: most seconds.
        jitter: random draw of 0..1; the wait is between half and all of the exponential one.
    """

    base_s: float = 0.25
    cap_s: float = 15.0
    jitter: Callable[[], float] = random.random

    def delay_s(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row (at least one)."""
        exponent = min(failures - 1, 32)
        return min(self.cap_s, self.base_s * 2.0**exponent) * (0.5 + 0.5 * self.jitter())


class WorkQueue(Generic[KeyT]):
    """Keys to work on, each at most once at a time.

    Keys are taken in the order in which they became ready, so that none is passed over. The queue needs no bound of
    its own: it holds a key at most once as ready and once as delayed, so it is never longer than the number of
    resources.
    """

    def __init__(self, *, backoff: Backoff | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._ready: deque[tuple[float, KeyT]] = deque()
        self._waiting: set[KeyT] = set()
        self._working: set[KeyT] = set()
        self._resting: dict[KeyT, float] = {}
        self._due: dict[KeyT, float] = {}
        self._timers: list[tuple[float, int, KeyT]] = []
        self._timer_count = 0
        self._failures: dict[KeyT, int] = {}
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no further pass is to begin."""
        return self._closed

    @property
    def oldest_s(self) -> float:
        """Seconds since the key became ready that has its turn next; 0 if none is."""
        return self._clock() - self._ready[0][0] if self._ready else 0.0

    def add(self, key: KeyT) -> None:
        """Ask for a pass over ``key``; one already asked for serves this call too."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working and key not in self._resting:
            self._make_ready(key)

    def add_after(self, key: KeyT, delay_s: float) -> None:
        """Ask for a pass in ``delay_s`` seconds; the earliest of several such times holds."""
        due = self._clock() + delay_s
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._wake_at(due, key)

    def retry(self, key: KeyT, *, at_least_s: float = 0.0) -> float:
        """Ask for a pass after a failure, and return the seconds until then."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = max(at_least_s, self._backoff.delay_s(self._failures[key]))
        self.add_after(key, delay_s)
        return delay_s

    def succeeded(self, key: KeyT) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)

    def take(self) -> KeyT | None:
        """Return a key that is due, to be given back with ``done``; nothing if none is."""
        self._ring(self._clock())
        if not self._ready:
            return None
        _, key = self._ready.popleft()
        self._waiting.discard(key)
        # The pass that starts now says itself when it wants the next one.
        self._due.pop(key, None)
        self._working.add(key)
        return key

    def done(self, key: KeyT, *, rest_s: float = 0.0) -> None:
        """Say that the pass is over; what was asked for in the meantime becomes ready, after a rest at the earliest."""
        self._working.discard(key)
        if rest_s > 0:
            self._resting[key] = self._clock() + rest_s
            self._wake_at(self._resting[key], key)
        elif key in self._waiting:
            self._make_ready(key)

    async def get(self) -> KeyT | None:
        """Return the next key as ``take`` does, waiting for one; nothing once the queue is closed."""
        # One waits for all, in turn: a key that becomes ready wakes one of them.
        async with self._turn:
            while not self._closed:
                self._wake.clear()
                key = self.take()
                if key is not None:
                    return key
                try:
                    async with asyncio.timeout(self._next_due_in_s()):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            return None

    def close(self) -> None:
        """Let no further pass begin."""
        self._closed = True
        self._wake.set()

    def _ring(self, now: float) -> None:
        """Let happen what the timers that are due stand for."""
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            if self._resting.get(key) == due:
                del self._resting[key]
                if key in self._waiting:
                    self._make_ready(key)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)

    def _make_ready(self, key: KeyT) -> None:
        self._ready.append((self._clock(), key))
        self._wake.set()

    def _wake_at(self, due: float, key: KeyT) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (due, self._timer_count, key))
        if self._timers[0][1] == self._timer_count:
            self._wake.set()

    def _next_due_in_s(self) -> float | None:
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None
