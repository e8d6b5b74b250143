"""Reads a source ahead, as far as a bounded buffer goes."""

import asyncio
import inspect
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tokenflow_client._errors import UsageError
from tokenflow_client._sources import Sources

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End:
    """The source has ended, or broke."""

    error: BaseException | None


class Pump(Generic[T]):
    """Reads ``source`` in a task of its own, and closes it in the end, whatever that is.

    Args:
        source: read in order; while the buffer is full it is read no further.
        size: items in the buffer.
        sources: told when this one is waited for.
    """

    def __init__(self, source: AsyncIterable[T], *, size: int, sources: Sources) -> None:
        self._source = source
        try:
            self._iterator = aiter(source)
        except TypeError as error:
            words = (
                "a TokenFlow paces what `async for` takes (await a coroutine first), a SyncTokenFlow what `for` does"
            )
            raise UsageError(f"{error}: {words}") from error
        self._sources = sources
        self._items: asyncio.Queue[T | _End] = asyncio.Queue(size)
        self._end: _End | None = None
        self._closed = False
        self._closing = False
        self._task = asyncio.create_task(self._run())

    @property
    def waiting(self) -> int:
        """Items in the buffer."""
        return self._items.qsize()

    async def get(self) -> T:
        """Return the next item; cancelling the wait loses none.

        Raises:
            StopAsyncIteration: the source has ended.
            BaseException: the source broke, or was called off; all that came before has been returned.
        """
        item = self._end or await self._items.get()
        if not isinstance(item, _End):
            return item
        # An error is raised once; whoever goes on finds the end, as with a generator.
        self._end = _End(None)
        raise item.error or StopAsyncIteration

    def cancel(self) -> None:
        """Stop reading; the source is closed soon."""
        self._end = _End(None)
        if not self._closing:
            self._task.cancel()

    async def aclose(self) -> None:
        """Stop reading, and wait until the source is closed.

        Raises:
            Exception: it could not be closed.
        """
        self.cancel()
        await asyncio.wait([self._task])
        if self._items.empty():
            self._items.put_nowait(_End(UsageError("the stream was closed while somebody waited for its next item")))
        # A task that is called off before its first turn closes nothing.
        await self._close()
        if not self._task.cancelled() and (error := self._task.exception()):
            raise error

    async def _run(self) -> None:
        try:
            error = await self._pour()
        except BaseException:
            await self._close()
            raise
        try:
            await self._close()
        except Exception as caught:
            if self._end is not None:
                raise
            error = caught
        if self._end is None:
            # Raised again where the items are taken.
            await self._items.put(_End(error))

    async def _pour(self) -> BaseException | None:
        """Read to the end; return what the source broke with, if it did."""
        spoke = False
        while True:
            if spoke:
                self._sources.waits()
            try:
                item = await anext(self._iterator)
            except StopAsyncIteration:
                return None
            except (Exception, asyncio.CancelledError) as error:
                if _called_off():
                    raise
                # What the source itself waits for may be called off, too.
                return error
            finally:
                if spoke:
                    self._sources.heard()
            spoke = True
            await self._items.put(item)

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = self._closing = True
        try:
            await _close(self._iterator)
            await _close(self._source)
        finally:
            self._closing = False


def _called_off() -> bool:
    """Whether the task that runs this was cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _close(source: object) -> None:
    """Close a source as generators, httpx and openai have it; a second time does nothing to any of them."""
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    if close is not None:
        closed = close()
        if inspect.isawaitable(closed):
            await closed
