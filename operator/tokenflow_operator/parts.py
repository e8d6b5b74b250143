"""Runs the parts of the operator side by side, so that none can end unnoticed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tokenflow_operator.errors import PartEndedError

ResultT = TypeVar("ResultT")


async def first(*parts: Coroutine[Any, Any, object]) -> None:
    """Run parts until one ends, then end the others.

    A TaskGroup would take a part that was cancelled from within for one that is done, and wait for the rest.

    Raises:
        PartEndedError: the part was cancelled from within.
        Exception: whatever ended the part.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await ended(*tasks)
    for task in done:
        reraise(task)


async def lasting(*parts: Coroutine[Any, Any, object]) -> None:
    """Run parts that none is to end, until one does.

    Raises:
        PartEndedError: the part ended, or was cancelled from within.
        Exception: whatever ended the part.
    """
    await first(*parts)
    raise PartEndedError("a part of the operator ended that should have lasted")


async def together(*works: Coroutine[Any, Any, ResultT]) -> list[ResultT]:
    """Do works side by side, and return what came of them in order.

    All of them end before this does, whatever becomes of one; a TaskGroup would cancel the others within their writes.

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
    """Raise what ended a task that is done, if anything did."""
    if task.cancelled():
        raise PartEndedError("a part of the operator was cancelled from within")
    error = task.exception()
    if error is not None:
        raise error
