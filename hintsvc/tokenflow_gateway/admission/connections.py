"""Connections to the hint service that stay open: a check of a quota stands before every first token."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

MOST: Final = 64
"""Connections open at once; who finds none free waits, no longer than for an answer."""
IDLE_S: Final = 30.0
"""A connection that was idle for longer is not trusted: the other side may be about to close it."""
_MOST_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the hint service."""

    status: int
    body: bytes


class Connections:
    """Keep-alive connections to one server.

    Args:
        url: of the server.
        tls: how https is verified; read anew for each connection.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, url: str, *, tls: ssl.SSLContext | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._clock = clock
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(MOST)

    async def post(self, path: str, body: bytes, *, headers: Mapping[str, str], within_s: float) -> Reply:
        """Send a JSON document and return the answer to it.

        Nothing is sent twice: only a connection that could not be made is made a second time.

        Raises:
            TimeoutError: there was no answer within ``within_s``.
            OSError: the server is out of reach, broke off, or answered what is no answer.
        """
        async with asyncio.timeout(within_s), self._free:
            connection = self._take_idle() or await self._connect()
            try:
                reply = await connection.ask(self._head(path, len(body), headers) + body)
            except BaseException:
                # An answer that comes late must not be taken for that to the next request.
                connection.abort()
                raise
            if connection.reusable:
                connection.idle_since = self._clock()
                self._idle.append(connection)
            else:
                connection.abort()
            return reply

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().abort()

    def _head(self, path: str, size: int, headers: Mapping[str, str]) -> bytes:
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return (
            f"POST {self._prefix}{path} HTTP/1.1\r\nHost: {self._authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n{told}\r\n"
        ).encode("latin-1")

    def _take_idle(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and self._clock() - connection.idle_since < IDLE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        for last in (False, True):
            try:
                _, made = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls)
            except OSError:
                if last:
                    raise
            else:
                return made
        raise AssertionError


class _Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.reusable = True
        self._parser = HttpResponseParser(self)
        self._body = bytearray()
        self._answer: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, data: bytes) -> Reply:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the hint service closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    def abort(self) -> None:
        self.reusable = False
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail(ConnectionResetError(f"the hint service broke off: {exc or 'it closed the connection'}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(ConnectionError(f"the hint service sent what is no answer: {error}"))
            self.abort()

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > _MOST_BYTES:
            self._fail(ConnectionError(f"the hint service sent more than {_MOST_BYTES} bytes"))
            self.abort()

    def on_message_complete(self) -> None:
        self.reusable = self.reusable and self._parser.should_keep_alive()
        if self._answer and not self._answer.done():
            self._answer.set_result(Reply(self._parser.get_status_code(), bytes(self._body)))
        else:
            self.abort()

    def _fail(self, error: OSError) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
