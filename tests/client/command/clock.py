"""A clock that stands still until everybody waits for it."""

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from typing import Any

_SETTLED = 20


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now_s + seconds, next(self._order), turn))
        await turn

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Let time pass, from one who waits to the next, until ``work`` is done."""
        task = asyncio.create_task(work)
        while not task.done():
            for _ in range(_SETTLED):
                await asyncio.sleep(0)
            if self._waiting and not task.done():
                self.now_s, _, turn = heapq.heappop(self._waiting)
                if not turn.done():
                    turn.set_result(None)
        await task
