"""An answer out of the bytes of a connection (RFC 9112), within bounds."""

import asyncio
from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from tokenflow_gateway.errors import GatewayError, UpstreamBrokeOffError
from tokenflow_gateway.upstream.call import BodySink, Head

MAX_HEADERS: Final = 128
MAX_BARE_BYTES: Final = 65_536
"""Bytes without one of the body among them: a head, the lengths of chunks, or trailers."""
UNREAD_BYTES: Final = 262_144
"""Most of a body that is kept for whoever has not asked for it yet; beyond it the upstream waits."""

_INTERIM_BELOW: Final = 200
_SWITCHING: Final = 101
_HIGHEST: Final = 599


class Answer:
    """An answer as it arrives.

    Args:
        upstream: its name, for messages.
        bodiless: whether the request was a HEAD, whose answer announces a body that does not come.

    Attributes:
        head: once it is there.
        begun: whether a single byte has arrived.
        complete: whether the whole answer has arrived.
        reusable: whether its connection can carry another request.
        error: why it is not whole, once it has ended so.
        unread: bytes of the body that nobody has asked for yet.
        room: how many those may be before the upstream has to wait.
    """

    def __init__(self, *, upstream: str, bodiless: bool) -> None:
        self.head: Head | None = None
        self.begun = False
        self.complete = False
        self.reusable = False
        self.error: GatewayError | None = None
        self.unread = 0
        self.room = UNREAD_BYTES
        self._upstream = upstream
        self._bodiless = bodiless
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._bare = 0
        self._interim = False
        self._until_close = False
        self._ended = False
        self._kept: list[bytes] = []
        self._sink: BodySink | None = None
        self._parts: list[bytes] = []
        self._deliver = _drop if bodiless else self._keep
        self._waiter: asyncio.Future[None] | None = None
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in what arrived.

        Raises:
            UpstreamBrokeOffError: it is no answer, or beyond a bound.
        """
        self.begun = True
        refusal: Exception | None = None
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            refusal = self._judged(error)
        if self._parts:
            # Chunks that came together go on together: whoever takes them in does so once.
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._bare = 0
            self._deliver(body)
        else:
            self._bare += len(data)
        if refusal is not None:
            raise refusal
        if self._bare > MAX_BARE_BYTES and not self.complete:
            raise self._refused(f"sent more than {MAX_BARE_BYTES} bytes of headers")

    def close(self, *, reset: bool) -> None:
        """Take in the end of the connection; ``reset`` if it ended otherwise than it should."""
        self.complete = self.complete or (self._until_close and not reset)
        how = "broke off in the midst of its answer" if self.begun else "closed the connection without an answer"
        self.finish(None if self.complete else self._refused(how))

    def finish(self, error: GatewayError | None) -> None:
        """Tell whoever waits that nothing more comes; with ``error`` the answer is not whole."""
        if self._ended:
            return
        self._ended = True
        self.error = error
        self._wake()
        if self._sink is not None:
            self._sink.end(error)

    def abandon(self) -> None:
        """Hand out nothing more, not even the end, and let go of what refers back: the answer is freed at once."""
        self._ended = True
        self._parser = _SPENT
        self._sink = None
        self._deliver = _drop
        self._kept.clear()
        self.unread = 0
        self._wake()

    def pipe(self, sink: BodySink) -> None:
        """Hand the body to ``sink``, what is there at once."""
        kept = self.take()
        self._sink = sink
        if not self._ended and not self._bodiless:
            self._deliver = sink.feed
        if kept:
            sink.feed(kept)
        if self._ended:
            sink.end(self.error)

    def take(self) -> bytes:
        """Return what has arrived of the body and was not asked for yet."""
        kept = b"".join(self._kept)
        self._kept.clear()
        self.unread = 0
        return kept

    def has(self, *, body: int) -> bool:
        """Whether the head and more than ``body`` bytes of the body are there, or the end; -1 wants none."""
        return self._ended or (self.head is not None and self.unread > body)

    async def wait(self, *, body: int) -> None:
        """Return once the answer has what ``has`` asks for."""
        while not self.has(body=body):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def on_message_begin(self) -> None:
        """Refuse what comes behind the answer: nobody asked for it."""
        if self.complete:
            raise self._refused("answered twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header of the head; trailers are read over."""
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            raise self._refused(f"sent more than {MAX_HEADERS} headers")
        if self.head is None:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Take in the head, unless it only announces another."""
        status = self._parser.get_status_code()
        if status == _SWITCHING or status > _HIGHEST:
            raise self._refused(f"answered with status {status}")
        if status < _INTERIM_BELOW:
            self._interim = True
            self._headers = {}
            return
        headers = self._headers
        coding = headers.get("transfer-encoding", "").lower()
        if coding not in {"", "chunked"}:
            raise self._refused(f"answered with transfer coding {coding!r}")
        if headers.get("content-encoding", "").lower() not in {"", "identity"}:
            raise self._refused("compressed its answer, though it was asked not to")
        self.head = Head(status=status, headers=headers)
        self._until_close = not coding and "content-length" not in headers and not self._bodiless
        if self._bodiless:
            self._complete(reusable=False)
        self._wake()

    def on_body(self, data: bytes) -> None:
        """Take in a part of the body."""
        self._parts.append(data)

    def on_message_complete(self) -> None:
        """Take in the end of the answer."""
        if self._interim:
            self._interim = False
        elif not self.complete:
            current = self._parser.get_http_version() == "1.1"
            self._complete(reusable=current and self._parser.should_keep_alive())

    def _complete(self, *, reusable: bool) -> None:
        self.complete, self.reusable = True, reusable
        self._until_close = False

    def _judged(self, error: Exception) -> Exception | None:
        """Return what an error of the parser means; behind a whole answer, that its connection is not used again."""
        if self.complete:
            self.reusable = False
            return None
        if isinstance(error, HttpParserCallbackError) and isinstance(error.__context__, Exception):
            return error.__context__
        if isinstance(error, HttpParserUpgrade):
            return self._refused("switched to another protocol")
        return self._refused(f"sent what is no HTTP ({error})")

    def _keep(self, data: bytes) -> None:
        self._kept.append(data)
        self.unread += len(data)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _refused(self, what: str) -> UpstreamBrokeOffError:
        return UpstreamBrokeOffError(f"upstream {self._upstream!r} {what}: see its logs")


def _drop(data: bytes) -> None:
    """Take in what nobody wants."""


_SPENT: Final = HttpResponseParser(None)
"""The parser of an answer that nobody wants."""
