"""One connection of HTTP/1.1: requests in, answers out in the same order (RFC 9112)."""

import asyncio
import time
from collections import deque
from typing import Final, cast

from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front import metrics
from tokenflow_gateway.front.answer1 import Answer1
from tokenflow_gateway.front.exchange import Request
from tokenflow_gateway.front.intake import Intake, Message, refused
from tokenflow_gateway.front.running import refuse
from tokenflow_gateway.front.site import Site
from tokenflow_gateway.front.wire import Wire

_CONNECTIONS: Final = metrics.CONNECTIONS.labels(http="1.1")
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http1(asyncio.Protocol):
    """Hands each request on when all before it are answered.

    It reads on while an answer is under way, so that a reader who leaves is seen at once. Who closes their half of
    the connection has left.

    Attributes:
        wire: to the reader.
    """

    _transport: asyncio.Transport
    wire: Wire

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = Intake(site.limits, arrived=self._arrived, wanted=self._wanted)
        self._waiting: deque[Message | GatewayError] = deque()
        self._ahead = 0
        self._message: Message | None = None
        self._answer: Answer1 | None = None
        self._broken = False
        self._ended = False
        self._deadline = time.monotonic() + site.limits.head_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.wire = Wire(self._transport)
        self._site.connections.add(self)
        _CONNECTIONS.inc()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, whatever was under way."""
        del exc
        self._site.connections.discard(self)
        _CONNECTIONS.dec()
        self._leave()

    def eof_received(self) -> None:
        """Take it that the reader has left: what they were answered so far is still sent."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Take in requests, and hand on the first of them."""
        if self._ended or self._broken:
            return
        resting = not self._intake.partial
        if self._message is not None and self._intake.body is not self._message.body:
            self._ahead += len(data)
        try:
            self._intake.feed(data)
        except GatewayError as error:
            self._refuse(error)
        if self._intake.partial and resting:
            self._deadline = time.monotonic() + self._site.limits.head_s
        self._go_on()
        self._regulate()

    def pause_writing(self) -> None:
        """Let what is written wait here."""
        self.wire.pause()

    def resume_writing(self) -> None:
        """Go on."""
        self.wire.resume()
        if self._answer is not None:
            self._answer.flow()

    def check(self, now: float) -> None:
        """Break off what waits for too long."""
        if self.wire.stuck_s(now) > self._site.limits.stuck_s:
            metrics.CUT.labels(reason="stuck").inc()
            self.abort()
        elif self._answer is None and now >= self._deadline:
            if self._intake.partial and not self._ended:
                metrics.CUT.labels(reason="slow_head").inc()
            self._transport.close()

    def leave(self) -> None:
        """Let each answer from now on be the last, and wait for a moment where none is under way."""
        self._deadline = min(self._deadline, time.monotonic() + self._site.limits.linger_s)

    def abort(self) -> None:
        """Close, whatever is under way."""
        self._transport.abort()

    @property
    def closing(self) -> bool:
        """Whether the connection ends with the present answer, as it does where a body is not read to its end."""
        return self._site.leaving or self._message is None or not self._message.body.whole

    def answered(self, *, last: bool) -> None:
        """Go on with the next request, or end."""
        whole = self._message is not None and self._message.body.whole
        self._message = self._answer = None
        if last:
            self._end(all_read=whole)
            return
        limits = self._site.limits
        rest_s = limits.head_s if self._intake.partial else limits.idle_s
        self._deadline = time.monotonic() + (limits.linger_s if self._site.leaving else rest_s)
        self._go_on()
        self._regulate()

    def break_off(self, *, started: bool) -> None:
        """Close after what was written; a request that proved to be no HTTP is still told so."""
        self._message = self._answer = None
        if not started and self._waiting and isinstance(self._waiting[0], GatewayError):
            self._go_on()
        else:
            self._ended = True
            self._transport.close()

    def _arrived(self, message: Message) -> None:
        if not self._ended:
            self._waiting.append(message)

    def _refuse(self, error: GatewayError) -> None:
        metrics.BROKEN.labels(status=str(error.status)).inc()
        self._broken = True
        if self._intake.body is not None:
            self._intake.body.lose()
        self._waiting.append(error)

    def _go_on(self) -> None:
        if self._message is not None or not self._waiting or self._ended:
            return
        item = self._waiting.popleft()
        if not self._waiting:
            self._ahead = 0
        if isinstance(item, Message):
            self._begin(item)
        else:
            self._message = refused(wanted=self._wanted)
            refuse(Answer1(self, self._message), item)

    def _begin(self, message: Message) -> None:
        answer = Answer1(self, message)
        self._message, self._answer = message, answer
        request = Request(
            method=message.method,
            path=message.path,
            query=message.query,
            headers=message.headers,
            peer=self.wire.peer,
            http="1.0" if message.old else "1.1",
            read=message.body.read,
        )
        answer.cancel = self._site.exchanges.begin(request, answer).cancel

    def _wanted(self) -> None:
        """Let the sender of a body go on."""
        message, answer = self._message, self._answer
        if message is None or answer is None:
            return
        if message.expects and not (message.old or message.body.whole or message.body or answer.started):
            self.wire.write(_GO_ON)
        self._regulate()

    def _regulate(self) -> None:
        """Read on, unless too much waits here for somebody to read it."""
        if self._transport.is_closing():
            return
        body = self._message.body if self._message is not None else None
        unread = self._ahead + (len(body) if body is not None and not body.wanting else 0)
        if unread > self._site.limits.unread_bytes and not self._ended:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _end(self, *, all_read: bool) -> None:
        """Close; a reader who still sends has time to read the last answer, which a reset would take from them."""
        self._ended = True
        self._waiting.clear()
        self._deadline = time.monotonic() + self._site.limits.linger_s
        if all_read:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _leave(self) -> None:
        self._ended = True
        self._waiting.clear()
        if self._answer is not None:
            self._answer.leave()
        if self._message is not None:
            self._message.body.lose()
