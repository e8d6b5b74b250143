"""One answer of HTTP/2, on a stream of its own (RFC 9113)."""

import socket
from collections.abc import Mapping
from typing import Protocol

from tokenflow_gateway.front.answer import BaseAnswer
from tokenflow_gateway.front.head import bodiless
from tokenflow_gateway.front.wire import Wire


class Carrier(Protocol):
    """The connection of an answer."""

    wire: Wire

    def send_head(self, stream: int, status: int, headers: Mapping[str, str]) -> None:
        """Send the head."""
        ...

    def room(self, stream: int) -> int:
        """Return how many bytes the connection takes of a stream at present."""
        ...

    def send(self, stream: int, data: bytes) -> None:
        """Send that many bytes, at most."""
        ...

    def end(self, stream: int) -> None:
        """Send the end of a stream."""
        ...

    def break_off(self, stream: int) -> None:
        """Reset a stream."""
        ...


class Answer2(BaseAnswer):
    """Sends as much as the reader's window and the kernel take; all else waits here.

    Attributes:
        held: whether the connection did not take everything.
    """

    __slots__ = ("_carrier", "_ending", "_moved", "_sent", "_status", "_stream", "_waiting", "_wire", "held")

    def __init__(self, carrier: Carrier, stream: int, *, method: str, now: float) -> None:
        super().__init__(method)
        self._carrier = carrier
        self._stream = stream
        self._wire = carrier.wire
        self._waiting = bytearray()
        self._ending = False
        self._status = 0
        self._sent = 0
        self._moved = (0, now)
        self.held = False

    @property
    def flowing(self) -> bool:
        """Whether the reader's window and the kernel take more."""
        return not self._waiting and self._carrier.room(self._stream) > 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the window or the kernel has not taken; the kernel's are of all streams of the connection."""
        return len(self._waiting) + self._wire.waiting_bytes

    @property
    def socket(self) -> socket.socket | None:
        """The connection's."""
        return self._wire.socket

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head.

        Raises:
            ValueError: a header cannot be sent.
        """
        sent = self._declare(status, headers)
        self._status = status
        if not self.over:
            self._carrier.send_head(self._stream, status, sent)

    def write(self, data: bytes) -> None:
        """Send a part of the body.

        Raises:
            ValueError: it is more than the head announced.
        """
        if self.over or not data:
            return
        self._count(data)
        if not bodiless(self._method, self._status):
            self._waiting += data
            self.go_on()

    def flush(self) -> None:
        """Wait for the end of the turn: what streams of the connection send in it leaves together."""

    def finish(self) -> None:
        """End the body; one that is shorter than announced is broken off."""
        if self.over:
            return
        if self._short or not self.started:
            self.abort()
            return
        self.over = self._ending = True
        self.go_on()

    def abort(self) -> None:
        """Reset the stream."""
        if not self.over:
            self.over = True
            self._waiting.clear()
            self._carrier.break_off(self._stream)

    def keep_waiting_here(self, *, unsent_bytes: int) -> None:
        """Let the kernel hold so many unsent bytes of the connection and no more."""
        self._wire.keep_short(unsent_bytes=unsent_bytes)

    def go_on(self) -> None:
        """Send what the connection takes now."""
        while self._waiting and (room := self._carrier.room(self._stream)) > 0:
            part = bytes(self._waiting[:room])
            del self._waiting[:room]
            self._sent += len(part)
            self._carrier.send(self._stream, part)
        if self._ending and not self._waiting:
            self._ending = False
            self._carrier.end(self._stream)
        elif not self.flowing:
            self.held = True
        elif self.held:
            self.held = False
            self.flow()

    def stuck_s(self, now: float) -> float:
        """Return for how many seconds the reader's window has taken nothing more; asked once in a while."""
        if self._sent > self._moved[0] or self.flowing or not self._wire.flowing:
            self._moved = (self._sent, now)
        return now - self._moved[1]
