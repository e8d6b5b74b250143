"""Where requests wait for room, by priority and by age."""

import asyncio
import bisect
import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tokenflow_gateway.admission import metrics
from tokenflow_gateway.errors import QueueFullError, QueueTimeoutError

T = TypeVar("T")

HEAD_START: Final = 0.5
"""Of the longest wait: so much older than the highest priority must the lowest be to go first."""


@dataclass(order=True, slots=True)
class _Waiter:
    """One request that waits; those that compare less go first."""

    rank: float
    number: int
    lane: str = field(compare=False)
    attempt: Callable[[], Any] = field(compare=False)
    place: asyncio.Future[Any] = field(compare=False)


class RequestQueue:
    """Requests that wait for room, first come, first served, but for the head start of priorities.

    The law: the highest priority has a head start of half of the longest wait over the lowest, and those between in
    proportion. An entry thus gains priority as it waits: whoever waited for half of the longest wait goes before all
    that come from then on, whatever their priority. When the queue is full, who would go last is shed.

    Waiters of one lane want the same, such as a model: where the first of them finds no room, those behind it are not
    asked, and those of other lanes are.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._lanes: dict[str, list[_Waiter]] = {}
        self._waiting = 0
        self.configure(max_requests=0, max_wait_s=0.0, priorities=(0,))

    def configure(self, *, max_requests: int, max_wait_s: float, priorities: Sequence[int]) -> None:
        """Go by other bounds from now on; who waits goes on waiting as it was.

        Args:
            max_requests: that wait.
            max_wait_s: longest wait.
            priorities: of the tenants, one at least.
        """
        self._max_requests = max_requests
        self._max_wait_s = max_wait_s
        self._lowest = min(priorities)
        self._range = max(priorities) - self._lowest

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._waiting

    def take_now(self, attempt: Callable[[], T | None], *, lane: str) -> T | None:
        """Return what ``attempt`` returns, unless others wait in the lane."""
        return None if lane in self._lanes else attempt()

    async def take(
        self,
        attempt: Callable[[], T | None],
        *,
        give_back: Callable[[T], None],
        priority: int,
        lane: str,
        since: float,
    ) -> T:
        """Return what ``attempt`` returns as soon as it is something, and it is this request's turn.

        It is tried at once where nobody waits in the lane, else whenever somebody calls ``wake``.

        Args:
            attempt: takes a place, or returns ``None`` where there is no room; must not wait.
            give_back: called with a place that came too late: the request was cancelled meanwhile.
            priority: of the tenant.
            lane: of those who want the same.
            since: when the request came, by the queue's clock; its age and its deadline count from then.

        Raises:
            QueueFullError: as many wait as may, and this request would go last.
            QueueTimeoutError: there was no room within the longest wait.
        """
        place = self.take_now(attempt, lane=lane)
        if place is not None:
            return place
        left_s = since + self._max_wait_s - self._clock()
        if left_s <= 0:
            raise _timeout(self._max_wait_s)
        waiter = self._line_up(attempt, rank=since - self._head_start(priority), lane=lane)
        started = self._clock()
        timer = asyncio.get_running_loop().call_later(left_s, self._expire, waiter)
        outcome = "left"
        try:
            granted: T = await waiter.place
        except QueueFullError:
            outcome = "shed"
            raise
        except QueueTimeoutError:
            outcome = "timeout"
            raise
        except asyncio.CancelledError:
            self._leave(waiter)
            if waiter.place.done() and not waiter.place.cancelled() and waiter.place.exception() is None:
                give_back(waiter.place.result())
            raise
        else:
            outcome = "served"
            return granted
        finally:
            timer.cancel()
            metrics.QUEUE_TIME.labels(outcome).observe(self._clock() - started)

    def wake(self) -> None:
        """Try again those who wait: call it whenever there may be room."""
        heads = [lane[0] for lane in self._lanes.values()]
        heapq.heapify(heads)
        while heads:
            waiter = heapq.heappop(heads)
            if self._serve(waiter) and waiter.lane in self._lanes:
                heapq.heappush(heads, self._lanes[waiter.lane][0])

    def _serve(self, waiter: _Waiter) -> bool:
        """Let the first of a lane try; return whether it waits no more."""
        if not waiter.place.done():
            try:
                place = waiter.attempt()
            except Exception as error:  # noqa: BLE001 - it is the waiter's own, and raised there
                waiter.place.set_exception(error)
            else:
                if place is None:
                    return False
                waiter.place.set_result(place)
        self._leave(waiter)
        return True

    def _head_start(self, priority: int) -> float:
        if not self._range:
            return 0.0
        share = min(1.0, max(0.0, (priority - self._lowest) / self._range))
        return share * HEAD_START * self._max_wait_s

    def _line_up(self, attempt: Callable[[], Any], *, rank: float, lane: str) -> _Waiter:
        place: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(rank, next(self._numbers), lane=lane, attempt=attempt, place=place)
        if self._waiting >= self._max_requests:
            last = max((waiters[-1] for waiters in self._lanes.values()), default=waiter)
            if waiter >= last:
                raise _full(self._max_requests)
            self._leave(last)
            if not last.place.done():
                last.place.set_exception(_full(self._max_requests))
        bisect.insort(self._lanes.setdefault(lane, []), waiter)
        self._waiting += 1
        metrics.QUEUED.set(self._waiting)
        return waiter

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.place.done():
            self._leave(waiter)
            waiter.place.set_exception(_timeout(self._max_wait_s))

    def _leave(self, waiter: _Waiter) -> None:
        lane = self._lanes.get(waiter.lane, [])
        index = bisect.bisect_left(lane, waiter)
        if index < len(lane) and lane[index] is waiter:
            del lane[index]
            self._waiting -= 1
            metrics.QUEUED.set(self._waiting)
            if not lane:
                del self._lanes[waiter.lane]


def _full(most: int) -> QueueFullError:
    return QueueFullError(
        f"{most} requests wait already (spec.gateway.queue.maxRequests), and none of a lower priority: try again later"
    )


def _timeout(wait_s: float) -> QueueTimeoutError:
    return QueueTimeoutError(f"there was no room within {wait_s:g} s (spec.gateway.queue.maxWait): try again later")
