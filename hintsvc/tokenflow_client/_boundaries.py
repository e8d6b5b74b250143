"""Cuts a stream of bytes between its server-sent events, and changes no byte of it."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from http import HTTPStatus
from typing import Final

MAX_EVENT_BYTES: Final = 1 << 20
"""Bytes held for one event of a model's."""

# Two ends of lines in a row. A CR at the very end may be the first half of CR LF, so it waits for the next byte.
_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r(?!\Z))")
_FIELD: Final = re.compile(rb"^data:", re.MULTILINE)


class EventSplitter:
    """Holds one unfinished event; a longer one than it may hold is yielded in pieces, as it comes.

    Args:
        most: bytes that it may hold.

    Attributes:
        cut: whether an event was that long.
    """

    def __init__(self, *, most: int = MAX_EVENT_BYTES) -> None:
        self._most = most
        self._held = b""
        self._searched = 0
        self.cut = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the events that ``data`` completes, each with the blank line that ends it."""
        held = self._held + data
        begin, search = 0, self._searched
        while match := _BOUNDARY.search(held, search):
            yield held[begin : match.end()]
            begin = search = match.end()
        self._held = held[begin:]
        if len(self._held) > self._most:
            self.cut = True
            yield self.rest()
        # The ends of lines that may yet become a boundary are at most three bytes.
        self._searched = max(0, len(self._held) - 3)

    def rest(self) -> bytes:
        """Return what is unfinished."""
        held, self._held = self._held, b""
        self._searched = 0
        return held


def is_event_stream(status: int, content_type: str) -> bool:
    """Whether an answer is a stream of events."""
    return status == HTTPStatus.OK and content_type.lower().startswith("text/event-stream")


def tokens(event: bytes) -> int:
    """Return 1 for an event that carries data, 0 for a comment."""
    return 1 if _FIELD.search(event) else 0


async def events_of(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the events of a stream whole, and in the end what it left unfinished."""
    splitter = EventSplitter()
    async for data in stream:
        for event in splitter.feed(data):
            yield event
    if rest := splitter.rest():
        yield rest


def events_of_sync(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Do as ``events_of``."""
    splitter = EventSplitter()
    for data in stream:
        yield from splitter.feed(data)
    if rest := splitter.rest():
        yield rest
