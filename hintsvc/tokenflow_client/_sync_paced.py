"""Blocking streams at the pace of the hints: item by item, and in batches.

A source is read in the caller's own thread, when its next item is wanted: nothing is read ahead, and nothing waits in a
buffer of ours.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from tokenflow_client._errors import UsageError
from tokenflow_client._options import Options
from tokenflow_client._paced import LOOK_S, one
from tokenflow_client._pacer import CATCH_UP_S, Pacer
from tokenflow_client._session import HintSession
from tokenflow_client._transcript import Transcript
from tokenflow_client._window import BatchWindow

T = TypeVar("T")

READY_S: Final = 0.001
"""An item that comes within this time was there already."""


class SyncPaced(Generic[T]):
    """What both kinds of blocking paced streams have in common.

    Args:
        source: what is paced.
        session: tells the pace.
        options: how to pace.
        tokens: tokens in an item.
    """

    def __init__(
        self, source: Iterable[T], *, session: HintSession, options: Options, tokens: Callable[[T], int] = one
    ) -> None:
        self._source = source
        try:
            self._iterator = iter(source)
        except TypeError as error:
            raise UsageError(
                f"{error}: a SyncTokenFlow paces what `for` takes, a TokenFlow what `async for` does"
            ) from error
        self._reading = threading.Lock()
        self._session = session
        self._tokens = tokens
        self._pacer = Pacer(catch_up_s=CATCH_UP_S if options.pause_on_outage else math.inf)
        self._transcript = Transcript()
        self._spoke = False
        self._ended = False

    def close(self) -> None:
        """Stop, and close the source; while another thread waits for an item of it, that thread closes it."""
        self._ended = True
        if not self._reading.acquire(blocking=False):
            return
        try:
            for source in (self._iterator, self._source):
                if close := getattr(source, "close", None):
                    close()
        finally:
            self._reading.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _due(self) -> None:
        """Wait until tokens are due, at the rate that holds from moment to moment."""
        while pause := self._pacer.wait(time.monotonic(), tokens_per_second=self._session.pace.tokens_per_second):
            time.sleep(min(pause, LOOK_S))

    def _take(self) -> T:
        """Return the next item of the source.

        Raises:
            StopIteration: it has ended, and is closed.
        """
        try:
            item = self._read()
        except Exception as error:
            self.close()
            if interruption := self._transcript.interruption(error):
                raise interruption from error
            raise
        if self._ended:
            # Another thread has closed this stream meanwhile.
            self.close()
        self._spoke = True
        return item

    def _read(self) -> T:
        if self._ended:
            raise StopIteration
        with self._reading:
            if self._spoke:
                self._session.sources.waits()
            try:
                return next(self._iterator)
            finally:
                if self._spoke:
                    self._session.sources.heard()

    def _sent(self, items: list[T]) -> None:
        total = 0
        for item in items:
            tokens = self._tokens(item)
            self._transcript.add(item, tokens=tokens)
            total += tokens
        self._pacer.sent(total, at=time.monotonic(), tokens_per_second=self._session.pace.tokens_per_second)


class SyncPacedStream(SyncPaced[T]):
    """The items of a stream in their order, each when it is due.

    What else the source can do, such as openai's ``response``, is done by it.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        self._due()
        item = self._take()
        self._sent([item])
        return item

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._source, name)


class SyncPacedBatches(SyncPaced[T]):
    """The items of a stream in their order, in lists as long as the network and the consumer want them.

    The first list is the first item alone: nobody waits for the first token. A source that blocks may make a list late:
    the time is looked at between two items.
    """

    def __init__(
        self, source: Iterable[T], *, session: HintSession, options: Options, tokens: Callable[[T], int] = one
    ) -> None:
        super().__init__(source, session=session, options=options, tokens=tokens)
        self._window = BatchWindow(options.max_batch)
        self._failure: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[T]:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        first = not self._spoke
        if not first:
            rate = self._session.pace.tokens_per_second
            self._window.returned(self._pacer.overdue(time.monotonic(), tokens_per_second=rate))
        self._due()
        batch = [self._take()]
        if not first:
            self._fill(batch)
        self._sent(batch)
        return batch

    def _fill(self, batch: list[T]) -> None:
        pace = self._session.pace
        size = self._window.size(pace)
        began = time.monotonic()
        try:
            while len(batch) < size and time.monotonic() - began <= pace.batch_delay_s + READY_S:
                batch.append(self._take())
        except Exception as failure:  # noqa: BLE001 - what came before is handed out first
            self._failure = failure
