"""One connection to an upstream: one request at a time, and its answer without a task or a copy on the way."""

import asyncio
import os
from collections.abc import Callable
from typing import Final, cast

from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.upstream.answer import Answer

_AT_ONCE: Final = 65_536
"""Most bytes that are read past the event loop in one go."""


class Connection(asyncio.Protocol):
    """A connection, of HTTP/1.1.

    Args:
        freed: called when it can carry another request.
        lost: called when it has ended.

    Attributes:
        used: whether it has carried a request before the present one.
    """

    _transport: asyncio.Transport

    def __init__(self, *, freed: Callable[["Connection"], None], lost: Callable[["Connection"], None]) -> None:
        self._freed = freed
        self._lost = lost
        self._answer: Answer | None = None
        self.used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        plain = transport.get_extra_info("ssl_object") is None
        self._descriptor: int | None = transport.get_extra_info("socket").fileno() if plain else None

    def send(self, request: list[bytes], answer: Answer) -> None:
        """Send a request, whose answer goes to ``answer``."""
        if self.closing:
            # It was closed as soon as it was made: nothing will be told of it any more.
            answer.close(reset=True)
            return
        self._answer = answer
        self._transport.writelines(request)

    def data_received(self, data: bytes) -> None:
        """Hand on what belongs to the answer."""
        answer = self._answer
        if answer is None:
            # An upstream that speaks unasked would answer the next request with it.
            self._transport.abort()
            return
        try:
            answer.feed(data)
        except GatewayError as error:
            self._answer = None
            self._transport.abort()
            answer.finish(error)
            return
        if answer.complete:
            self._end(answer)
        elif answer.unread > answer.room:
            self.pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, whatever was under way."""
        answer, self._answer = self._answer, None
        self._lost(self)
        if answer is not None:
            answer.close(reset=exc is not None)

    def pause(self) -> None:
        """Read no further for now."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def read_waiting(self) -> bool:
        """Take in what has arrived while paused, and stay so; return whether there was something, or a failure.

        It is read past the event loop, which need not watch a connection that is read now and then: that saves it two
        system calls and a turn each time. Of TLS, and of the end, only the loop can tell: then nothing is there.
        """
        if self._descriptor is None or self._transport.is_closing():
            return False
        try:
            data = os.read(self._descriptor, _AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:
            # The kernel tells of it once, so that the loop would take it for an end like any other.
            answer = self._answer
            self.abort()
            if answer is not None:
                answer.close(reset=True)
            return True
        if data:
            self.data_received(data)
        return bool(data)

    def cancel(self, answer: Answer) -> None:
        """Close at once if ``answer`` is still under way here."""
        if self._answer is answer:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._answer = None
        self._transport.abort()

    @property
    def closing(self) -> bool:
        """Whether it can carry nothing more."""
        return self._transport.is_closing()

    def _end(self, answer: Answer) -> None:
        self._answer = None
        # An answer before the whole request was sent leaves a rest of it that the next answer would be to.
        if answer.reusable and not self._transport.get_write_buffer_size():
            self.used = True
            self.resume()
            self._freed(self)
        else:
            self._transport.abort()
        answer.finish(None)
