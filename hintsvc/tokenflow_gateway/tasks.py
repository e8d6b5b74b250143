"""The tasks of a gateway, so that none can end unnoticed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class TaskEndedError(Exception):
    """A task that should have lasted has ended."""


class Tasks:
    """Tasks that are to last until they are ended together.

    A TaskGroup would take one that was cancelled from within for one that is done, and wait for the rest.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, *works: Coroutine[Any, Any, None]) -> None:
        """Do works beside the others."""
        self._tasks.update(map(asyncio.create_task, works))

    async def until(self, *events: asyncio.Event) -> None:
        """Wait until one of ``events`` happens.

        Raises:
            TaskEndedError: a task ended instead, by itself or cancelled from within.
            Exception: whatever ended a task.
        """
        waiting = [asyncio.create_task(event.wait()) for event in events]
        try:
            done, _ = await asyncio.wait((*waiting, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        for task in done.intersection(self._tasks):
            if not task.cancelled() and (error := task.exception()):
                raise error
            raise TaskEndedError(f"{task.get_coro()} ended, which should have lasted")

    async def end(self) -> None:
        """Cancel all, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
