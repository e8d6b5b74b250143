"""One answer of HTTP/1.1."""

import asyncio
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Protocol

from tokenflow_gateway.front.answer import BaseAnswer
from tokenflow_gateway.front.head import bodiless, head
from tokenflow_gateway.front.intake import Message
from tokenflow_gateway.front.wire import Wire

_LAST_CHUNK: Final = b"0\r\n\r\n"


class Carrier(Protocol):
    """The connection of an answer."""

    wire: Wire

    @property
    def closing(self) -> bool:
        """Whether the connection ends with the present answer."""
        ...

    def answered(self, *, last: bool) -> None:
        """Go on after an answer; ``last`` was told to its reader."""
        ...

    def break_off(self, *, started: bool) -> None:
        """Close after what was written; ``started`` is whether that is a part of the answer."""
        ...


class Answer1(BaseAnswer):
    """Sends in chunks, or with a length where that is known.

    What is written in the turn of the event loop in which the answer starts leaves together; an answer that ends in
    that turn tells its length.
    """

    __slots__ = ("_carrier", "_chunked", "_flush", "_headers", "_last", "_old", "_parts", "_status", "_wire")

    def __init__(self, carrier: Carrier, message: Message) -> None:
        super().__init__(message.method)
        self._carrier = carrier
        self._wire = carrier.wire
        self._old = message.old
        self._last = message.last
        self._status = 0
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._flush: asyncio.Handle | None = None
        self._chunked = False

    @property
    def flowing(self) -> bool:
        """Whether the kernel has taken all that was written."""
        return self._wire.flowing

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._wire.waiting_bytes

    @property
    def socket(self) -> socket.socket | None:
        """The connection's."""
        return self._wire.socket

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head, by the end of this turn of the event loop.

        Raises:
            ValueError: a header cannot be sent.
        """
        self._headers = self._declare(status, headers)
        self._status = status
        if not self.over:
            self._flush = asyncio.get_running_loop().call_soon(self._go)

    def write(self, data: bytes) -> None:
        """Send a part of the body.

        Raises:
            ValueError: it is more than the head announced.
        """
        if self.over or not data:
            return
        self._count(data)
        if self._flush is not None:
            self._parts.append(data)
        elif self._chunked:
            self._wire.write(b"%x\r\n%b\r\n" % (len(data), data))
        elif not bodiless(self._method, self._status):
            self._wire.write(data)

    def flush(self) -> None:
        """Send what was written so far."""
        if self._flush is not None:
            self._flush.cancel()
            self._go()

    def finish(self) -> None:
        """End the body; one that is shorter than announced is broken off."""
        if self.over:
            return
        if self._short or not self.started:
            self.abort()
            return
        self.over = True
        if self._flush is not None:
            self._flush.cancel()
            if self._status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
                self._headers.setdefault("content-length", str(self._size))
            self._send_head()
        elif self._chunked:
            self._wire.write(_LAST_CHUNK)
        self._carrier.answered(last=self._last)

    def abort(self) -> None:
        """Break off: chunks without the last one, or a body shorter than announced, are not whole."""
        if self.over:
            return
        self.over = True
        if self._flush is not None:
            self._flush.cancel()
            self._carrier.break_off(started=False)
        elif self.started and not self._chunked and self._length is None:
            self._wire.reset()
        else:
            self._carrier.break_off(started=self.started)

    def keep_waiting_here(self, *, unsent_bytes: int) -> None:
        """Let the kernel hold so many unsent bytes and no more."""
        self._wire.keep_short(unsent_bytes=unsent_bytes)

    def _go(self) -> None:
        """Send the head of an answer whose end is not there yet."""
        if self.over:
            return
        if "content-length" not in self._headers and not bodiless(self._method, self._status):
            if self._old:
                self._last = True
            else:
                self._chunked = True
                self._headers["transfer-encoding"] = "chunked"
        self._send_head()

    def _send_head(self) -> None:
        self._flush = None
        self._last = self._last or self._carrier.closing
        if self._last:
            self._headers["connection"] = "close"
        elif self._old:
            self._headers["connection"] = "keep-alive"
        body = b"" if bodiless(self._method, self._status) else b"".join(self._parts)
        self._parts.clear()
        if self._chunked and body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        self._wire.write(head(self._status, self._headers) + body)
