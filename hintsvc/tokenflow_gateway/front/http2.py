"""One connection of HTTP/2 (RFC 9113)."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from functools import partial
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings

from tokenflow_gateway.errors import GatewayError, HeadersTooLargeError, MalformedRequestError
from tokenflow_gateway.front import metrics
from tokenflow_gateway.front.allowance import Allowance
from tokenflow_gateway.front.answer2 import Answer2
from tokenflow_gateway.front.body import Body
from tokenflow_gateway.front.exchange import Request
from tokenflow_gateway.front.frames import Frames
from tokenflow_gateway.front.head import add_header
from tokenflow_gateway.front.outbox import Outbox
from tokenflow_gateway.front.running import refuse
from tokenflow_gateway.front.site import Site
from tokenflow_gateway.front.streams2 import Streams
from tokenflow_gateway.front.target import split
from tokenflow_gateway.front.wire import Wire

_ANY_STREAM: Final = 2**31 - 1
_WINDOWS: Final = 4
"""Bodies that may be unread on one connection, of the greatest size that one may be."""
_MOST_CONTROL: Final = 1_048_576
"""Bytes that may wait on a wire which takes nothing: answers wait elsewhere, and no reader asks for so many
acknowledgements."""
_EARNED: Final = 3
"""Idle frames that a reader may send for each frame that they were sent."""


class Http2(asyncio.Protocol):
    """Hands on the requests of its streams.

    Attributes:
        wire: to the reader.
    """

    _transport: asyncio.Transport
    _outbox: Outbox
    wire: Wire

    def __init__(self, site: Site) -> None:
        self._site = site
        limits, now = site.limits, time.monotonic()
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.head_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.unread_bytes,
            },
        )
        self._h2.decoder.max_header_list_size = limits.head_bytes
        self._allowance = Allowance(most=limits.idle_frames, per_second=limits.idle_frames_per_second, now=now)
        self._frames = Frames()
        self._streams = Streams(self._h2)
        self._last_stream = 0
        self._gone = False
        self._deadline = now + limits.idle_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.wire = Wire(self._transport)
        self._outbox = Outbox(self._h2, self.wire)
        self._site.connections.add(self)
        metrics.CONNECTIONS.labels(http="2").inc()
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOWS * self._site.limits.unread_bytes)
        self._outbox.now()
        if self._site.leaving:
            self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, whatever was under way."""
        del exc
        self._site.connections.discard(self)
        metrics.CONNECTIONS.labels(http="2").dec()
        self._streams.lose_all()

    def eof_received(self) -> None:
        """Take it that the reader has left."""
        self._streams.lose_all()

    def data_received(self, data: bytes) -> None:
        """Take in frames."""
        try:
            idle = self._frames.pass_by(data)
            if not self._allowance.take(idle, now=time.monotonic()) or self.wire.waiting_bytes > _MOST_CONTROL:
                metrics.CUT.labels(reason="flood").inc()
                self._outbox.go_away(self._last_stream, ErrorCodes.ENHANCE_YOUR_CALM)
                self._hang_up()
                return
            events = self._h2.receive_data(data)
        except (ProtocolError, MalformedRequestError) as error:
            metrics.BROKEN.labels(status="400").inc()
            if isinstance(error, MalformedRequestError):
                self._outbox.go_away(self._last_stream, ErrorCodes.FRAME_SIZE_ERROR)
            self._hang_up()
            return
        if any(isinstance(event, ConnectionTerminated) for event in events):
            self._hang_up()
            return
        # For the library what is said later in the same bytes has come to pass.
        reset = {event.stream_id for event in events if isinstance(event, StreamReset)}
        for number in reset:
            self._lose(number)
        for event in events:
            if isinstance(event, DataReceived) or getattr(event, "stream_id", None) not in reset:
                self._take(event)
        self._outbox.now()

    def pause_writing(self) -> None:
        """Let what is written wait in the streams."""
        self.wire.pause()
        self._streams.hold()

    def resume_writing(self) -> None:
        """Go on."""
        self.wire.resume()
        self._streams.go_on()

    def check(self, now: float) -> None:
        """Break off what waits for too long."""
        limits = self._site.limits
        if self.wire.stuck_s(now) > limits.stuck_s:
            metrics.CUT.labels(reason="stuck").inc()
            self.abort()
            return
        for number in self._streams.stuck(now, longest_s=limits.stuck_s):
            metrics.CUT.labels(reason="stuck").inc()
            self._streams.lose(number)
            self.break_off(number)
        if now >= self._deadline and not self._gone and (self._site.leaving or not self._streams):
            self._gone = True
            self._outbox.go_away(self._last_stream)
            self._close_if_done()

    def leave(self) -> None:
        """Tell the reader to ask elsewhere, but where streams are running not yet: some break them off then."""
        if self._streams:
            self._deadline = time.monotonic() + self._site.limits.leave_s
        else:
            self._ask_to_leave()

    def abort(self) -> None:
        """Close, whatever is under way."""
        self._transport.abort()

    def send_head(self, stream: int, status: int, headers: Mapping[str, str]) -> None:
        """Send a head."""
        self._h2.send_headers(stream, [(":status", str(status)), *headers.items()])
        self._outbox.soon()

    def room(self, stream: int) -> int:
        """Return how many bytes the connection takes of a stream at present."""
        if not self.wire.flowing or stream not in self._streams:
            return 0
        return min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)

    def send(self, stream: int, data: bytes) -> None:
        """Send that many bytes, at most."""
        self._h2.send_data(stream, data)
        self._streams.serve_last(stream)
        self._allowance.earn(_EARNED)
        if self._h2.outbound_flow_control_window <= 0:
            self._streams.hold()
        self._outbox.soon(size=len(data))

    def end(self, stream: int) -> None:
        """Send the end of a stream; a reader who still sends is told to stop."""
        self._h2.end_stream(stream)
        self._allowance.earn(_EARNED)
        if not self._streams.whole(stream):
            # For the library the end of the body may have come to pass with what is being taken in just now.
            with contextlib.suppress(StreamClosedError):
                self._h2.reset_stream(stream, ErrorCodes.NO_ERROR)
        self._forget(stream)

    def break_off(self, stream: int) -> None:
        """Reset a stream."""
        if stream in self._streams:
            self._h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            self._forget(stream)

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._begin(event)
            case DataReceived():
                self._streams.feed(event)
            case StreamEnded():
                self._streams.end(event.stream_id)
            case WindowUpdated():
                self._streams.go_on(event.stream_id)
            case RemoteSettingsChanged():
                self._streams.go_on()

    def _lose(self, number: int) -> None:
        """Take in that the reader wants no answer."""
        if number in self._streams:
            self._streams.lose(number)
            self._forget(number)

    def _begin(self, event: RequestReceived) -> None:
        number, now = event.stream_id, time.monotonic()
        if self._gone:
            self._h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            return
        self._last_stream = max(self._last_stream, number)
        headers: dict[str, str] = {}
        for name, value in event.headers:
            add_header(headers, name, value)
        method, target = headers.pop(":method", ""), headers.pop(":path", "")
        headers.pop(":scheme", "")
        headers.setdefault("host", headers.pop(":authority", ""))
        answer = Answer2(self, number, method=method, now=now)
        length = headers.get("content-length")
        body = Body(wanted=partial(self._wanted, number), announced=int(length) if length else None)
        self._streams.open(number, body=body, answer=answer)
        try:
            path, query = split(target)
            if len(event.headers) > self._site.limits.headers:
                raise HeadersTooLargeError(f"a request may have {self._site.limits.headers} headers")
        except GatewayError as error:
            metrics.BROKEN.labels(status=str(error.status)).inc()
            refuse(answer, error)
            return
        request = Request(
            method=method,
            path=path,
            query=query,
            headers=headers,
            peer=self.wire.peer,
            http="2",
            read=body.read,
        )
        answer.cancel = self._site.exchanges.begin(request, answer).cancel

    def _wanted(self, number: int) -> None:
        """Let the sender of a body go on."""
        if self._streams.let_come(number):
            self._outbox.soon()

    def _forget(self, number: int) -> None:
        self._streams.forget(number)
        if not self._streams and self._site.leaving and not self._gone:
            self._ask_to_leave()
        elif not self._streams:
            self._deadline = time.monotonic() + self._site.limits.idle_s
        self._outbox.soon()
        self._close_if_done()

    def _hang_up(self) -> None:
        """Close where the library lets nothing more be sent than what it has said itself."""
        self._outbox.now()
        self._streams.lose_all()
        self._transport.close()

    def _ask_to_leave(self) -> None:
        """Let the reader ask no more; what is on its way is still answered for a moment."""
        self._outbox.go_away(_ANY_STREAM)
        self._deadline = time.monotonic() + self._site.limits.linger_s

    def _close_if_done(self) -> None:
        if self._gone and not self._streams:
            self._outbox.now()
            self._transport.close()
