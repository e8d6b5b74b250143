"""A deadline for an answer that does not count the time in which this process itself stood still."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TICKS: Final = 5


async def within(deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns.

    The deadline is waited for in parts: a busy event loop that wakes late still looks at what has arrived before it
    gives up. A plain timeout would take that for the other side's silence.

    Raises:
        TimeoutError: it takes longer.
    """
    task = asyncio.ensure_future(work)
    try:
        for _ in range(_TICKS):
            await asyncio.wait({task}, timeout=deadline_s / _TICKS)
            if task.done():
                return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    raise TimeoutError(f"no answer within {deadline_s * 1000:.0f} ms")
