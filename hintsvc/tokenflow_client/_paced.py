"""Streams at the pace of the hints: item by item, and in batches."""

import asyncio
import math
from collections.abc import AsyncIterable, Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from tokenflow_client._options import Options
from tokenflow_client._pacer import CATCH_UP_S, Pacer
from tokenflow_client._pump import Pump
from tokenflow_client._session import HintSession
from tokenflow_client._transcript import Transcript
from tokenflow_client._window import BatchWindow

T = TypeVar("T")

LOOK_S: Final = 0.25
"""Longest sleep without a look at the pace: a rate that rises must not wait for a token of the old one."""


def one(_: object) -> int:
    """Count an item as one token: what engines send, one per chunk."""
    return 1


class Paced(Generic[T]):
    """What both kinds of paced streams have in common: the buffer, the pace, and the end.

    The source is closed when it ends, when ``aclose`` is called, and soon after the last reference is gone.

    Args:
        source: what is paced.
        session: tells the pace.
        options: how to pace.
        tokens: tokens in an item.
    """

    def __init__(
        self, source: AsyncIterable[T], *, session: HintSession, options: Options, tokens: Callable[[T], int]
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._pacer = Pacer(catch_up_s=CATCH_UP_S if options.pause_on_outage else math.inf)
        self._transcript = Transcript()
        self._pump = Pump(source, size=options.buffer, sources=session.sources)

    async def aclose(self) -> None:
        """Stop, and close the source; what was not taken is dropped."""
        await self._pump.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A loop that breaks off drops its stream without a word.
        if pump := getattr(self, "_pump", None):
            pump.cancel()

    async def _due(self) -> None:
        """Wait until tokens are due, at the rate that holds from moment to moment."""
        clock = asyncio.get_running_loop().time
        while pause := self._pacer.wait(  # noqa: ASYNC110 - nothing but the clock is waited for
            clock(), tokens_per_second=self._session.pace.tokens_per_second
        ):
            await asyncio.sleep(min(pause, LOOK_S))

    async def _take(self) -> T:
        """Return the next item, whose time has come."""
        try:
            return await self._pump.get()
        except Exception as error:
            if interruption := self._transcript.interruption(error):
                raise interruption from error
            raise

    def _sent(self, items: list[T]) -> None:
        total = 0
        for item in items:
            tokens = self._tokens(item)
            self._transcript.add(item, tokens=tokens)
            total += tokens
        now = asyncio.get_running_loop().time()
        self._pacer.sent(total, at=now, tokens_per_second=self._session.pace.tokens_per_second)


class PacedStream(Paced[T]):
    """The items of a stream in their order, each when it is due.

    What else the source can do, such as openai's ``response``, is done by it.
    """

    def __init__(
        self, source: AsyncIterable[T], *, session: HintSession, options: Options, tokens: Callable[[T], int] = one
    ) -> None:
        self._source = source
        super().__init__(source, session=session, options=options, tokens=tokens)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        await self._due()
        item = await self._take()
        self._sent([item])
        return item

    async def close(self) -> None:
        """Do as ``aclose``, under the name that openai's streams have for it."""
        await self.aclose()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._source, name)


class PacedBatches(Paced[T]):
    """The items of a stream in their order, in lists as long as the network and the consumer want them.

    The first list is the first item alone: nobody waits for the first token.
    """

    def __init__(
        self, source: AsyncIterable[T], *, session: HintSession, options: Options, tokens: Callable[[T], int] = one
    ) -> None:
        super().__init__(source, session=session, options=options, tokens=tokens)
        self._window = BatchWindow(options.max_batch)
        self._batch: list[T] = []
        self._failure: Exception | None = None
        self._first = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if not self._first:
            self._window.returned(self._overdue())
        await self._due()
        # What a call that was cancelled had taken waits here for the next one.
        if not self._batch:
            self._batch.append(await self._take())
        if not self._first:
            await self._fill()
        self._first = False
        batch, self._batch = self._batch, []
        self._sent(batch)
        return batch

    def _overdue(self) -> float:
        now = asyncio.get_running_loop().time()
        overdue = self._pacer.overdue(now, tokens_per_second=self._session.pace.tokens_per_second)
        return min(overdue, self._pump.waiting)

    async def _fill(self) -> None:
        """Take what waits, and wait for the rest of the hint's batch no longer than the hint allows."""
        pace = self._session.pace
        size = self._window.size(pace)
        try:
            async with asyncio.timeout(pace.batch_delay_s) as patience:
                while len(self._batch) < size and (self._pump.waiting or len(self._batch) < pace.batch_size):
                    self._batch.append(await self._take())
        except Exception as failure:  # noqa: BLE001 - what came before is handed out first
            if not patience.expired():
                self._failure = failure
