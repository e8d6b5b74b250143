"""Tasks that belong together, so that none can end unnoticed.

A TaskGroup would take a task that was cancelled from within for one that is done, and wait for the rest; and before
Python 3.13 one that fails in the very turn in which the last one ends leaves a cancellation behind.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class TaskEndedError(Exception):
    """A task has ended that should have lasted, by itself or cancelled from within: the program must start anew."""


class Tasks:
    """Tasks that last, each as long as a block does."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def beside(self, *works: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
        """Do works beside a block, and end them with it.

        Raises:
            Exception: whatever one of them broke with, when the block itself went well.
        """
        started = [asyncio.create_task(work) for work in works]
        self._tasks.update(started)
        try:
            yield
        finally:
            self._tasks.difference_update(started)
            await ended(*started)
        for task in started:
            if not task.cancelled():
                reraise(task)

    async def until(self, *events: asyncio.Event) -> None:
        """Wait until one of ``events`` happens.

        Raises:
            TaskEndedError: a task ended instead.
            Exception: whatever it broke with.
        """
        waiting = [asyncio.create_task(event.wait()) for event in events]
        try:
            done, _ = await asyncio.wait((*waiting, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await ended(*waiting)
        for task in done.difference(waiting):
            reraise(task)
            raise TaskEndedError(f"{task.get_coro()} ended, which should have lasted")


async def first(*works: Coroutine[Any, Any, object]) -> None:
    """Do works until one ends, then end the others.

    Raises:
        TaskEndedError: it was cancelled from within.
        Exception: whatever it broke with.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await ended(*tasks)
    for task in done:
        reraise(task)


async def lasting(*works: Coroutine[Any, Any, object]) -> None:
    """Do works that none is to end, until one does.

    Raises:
        TaskEndedError: it ended, or was cancelled from within.
        Exception: whatever it broke with.
    """
    tasks = Tasks()
    async with tasks.beside(*works):
        await tasks.until()


async def together(*works: Coroutine[Any, Any, ResultT]) -> list[ResultT]:
    """Do works side by side, and return what came of them in order.

    All of them end before this does, whatever becomes of one: none is broken off within its writes.

    Raises:
        Exception: the first one, in order, that a work raised.
    """
    found = await asyncio.gather(*works, return_exceptions=True)
    results = []
    for result in found:
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def reraise(task: asyncio.Task[Any]) -> None:
    """Raise what ended a task that is done, if anything did.

    Raises:
        TaskEndedError: it was cancelled from within.
        Exception: whatever it broke with.
    """
    if task.cancelled():
        raise TaskEndedError(f"{task.get_coro()} was cancelled from within")
    error = task.exception()
    if error is not None:
        raise error
