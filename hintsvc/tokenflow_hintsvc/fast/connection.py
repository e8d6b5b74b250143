"""One connection of the fast listener: requests in, answers out in the same order (RFC 9112)."""

import asyncio
import logging
import time
from collections import deque
from http import HTTPStatus
from typing import Final, cast

from tokenflow_api.serving import trace
from tokenflow_api.serving.trace import Trace
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.fast.intake import Intake
from tokenflow_hintsvc.fast.messages import Request, Response, problem
from tokenflow_hintsvc.fast.site import Site
from tokenflow_hintsvc.fast.stream import Stream
from tokenflow_hintsvc.fast.targets import OTHER_ROUTE, parse_target
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.problems import ProblemError, internal_error
from tokenflow_hintsvc.view.feed import KEEP_ALIVE_S

_log = logging.getLogger(__name__)

HEAD_S: Final = 10.0
"""Time that a request may take to arrive: slow senders must not hold connections."""
IDLE_S: Final = 75.0
"""Time that a connection may rest between two requests."""
STUCK_S: Final = 30.0
"""Time that answers may wait for their reader."""
LINGER_S: Final = 2.0
"""Time that a caller who still sends has to read the last answer."""
ANSWERED_AT_ONCE: Final = 64
"""Requests of one connection in one turn of the event loop, and then it is others' turn."""


class Connection(asyncio.Protocol):
    """Answers each request when all before it are answered."""

    _transport: asyncio.Transport

    def __init__(self, site: Site) -> None:
        self._site = site
        self._guard = site.service.guard
        self._intake = Intake()
        self._waiting: deque[Request | ProblemError] = deque()
        self._out: list[bytes] = []
        self._flowing = True
        self._left = False
        self._proving: asyncio.Task[None] | None = None
        self._stream: Stream | None = None
        self._caller: Caller | None = None
        self._shown: tuple[bytes | None, bytes | None] = (None, None)
        self._peer = ""
        self._arrived = 0.0
        self._deadline = time.monotonic() + HEAD_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self._peer = address[0] if isinstance(address, tuple) else ""
        self._site.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, whatever was under way."""
        del exc
        self._left = True
        self._site.connections.discard(self)
        self._waiting.clear()
        if self._proving is not None:
            self._proving.cancel()
        if self._stream is not None:
            self._stream.close()

    def data_received(self, data: bytes) -> None:
        """Take in requests, and answer those that can be."""
        intake = self._intake
        if intake.ended:
            return
        self._arrived = time.perf_counter()
        waited = intake.partial
        try:
            intake.feed(data)
        except ProblemError as error:
            self._waiting.extend((*intake.requests, error))
        else:
            self._waiting.extend(intake.requests)
        if intake.partial and not waited:
            self._deadline = time.monotonic() + HEAD_S
        self._go_on()

    def eof_received(self) -> bool:
        """Stay until everything is answered, where the caller waits for that."""
        self._intake.ended = True
        return (bool(self._waiting) or self._proving is not None) and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """Let answers wait until the caller has read those before."""
        self._flowing = False
        self._deadline = time.monotonic() + STUCK_S
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        """Go on."""
        self._flowing = True
        self._deadline = time.monotonic() + (LINGER_S if self._left else IDLE_S)
        if self._stream is not None:
            self._stream.resume()
        else:
            self._go_on()

    def check(self, now: float) -> None:
        """End what waits for too long; a stream that has nothing to say says so.

        Args:
            now: by the monotonic clock, in seconds.
        """
        if self._stream is not None and self._flowing:
            if now >= self._stream.written + KEEP_ALIVE_S:
                self._stream.keep_alive()
        elif now >= self._deadline:
            self._transport.abort()

    def abort(self) -> None:
        """Close, whatever is under way."""
        self._transport.abort()

    def _go_on(self) -> None:
        """Answer what can be answered, but not so much at once that others have to wait."""
        if self._left:
            return
        for _ in range(ANSWERED_AT_ONCE):
            if not (self._waiting and self._flowing and self._proving is None):
                break
            item = self._waiting.popleft()
            if isinstance(item, ProblemError):
                self._out.append(problem(item, trace_id=trace.begin().trace_id).encode(bodiless=False, last=True))
                metrics.ANSWERS.add(OTHER_ROUTE, item.status, seconds=0.0)
            else:
                self._answer(item)
        else:
            asyncio.get_running_loop().call_soon(self._go_on)
        self._flush()
        if self._waiting or self._proving is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            if self._intake.ended and self._stream is None:
                self._end()

    def _answer(self, request: Request) -> None:
        try:
            caller = self._recognise(request)
            if caller is None:
                self._deadline = time.monotonic() + STUCK_S
                self._proving = self._site.start(self._prove(request))
            else:
                self._reply(request, caller)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered
            self._fail(request, error)

    def _recognise(self, request: Request) -> Caller | None:
        headers = request.headers
        shown = (headers.get(b"authorization"), headers.get(b"x-forwarded-for"))
        if self._caller is not None and shown == self._shown and self._guard.again(self._caller):
            return self._caller
        # Whoever was known is not who shows something else, even if that is refused.
        self._shown, self._caller = shown, None
        self._caller = self._guard.recognise(
            peer=self._peer,
            authorization=request.header(b"authorization"),
            forwarded_for=request.header(b"x-forwarded-for"),
        )
        return self._caller

    async def _prove(self, request: Request) -> None:
        try:
            self._caller = await self._guard.admit(
                peer=self._peer,
                authorization=request.header(b"authorization"),
                forwarded_for=request.header(b"x-forwarded-for"),
            )
            self._reply(request, self._caller)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is answered
            self._fail(request, error)
        self._proving = None
        self._go_on()

    def _reply(self, request: Request, caller: Caller) -> None:
        response = self._site.answer(request, caller)
        if response is not None:
            self._respond(request, response)
            return
        self._flush()
        self._stream = Stream(request, caller, service=self._site.service, transport=self._transport)
        if not self._flowing:
            # Its first snapshot was more than the reader takes at once.
            self._stream.pause()
        # What was sent behind it waits for an end that does not come.
        self._intake.ended = True
        self._waiting.clear()
        self._count(request, HTTPStatus.OK)

    def _respond(self, request: Request, response: Response, *, of: Trace | None = None) -> None:
        last = request.last
        if not self._waiting and self._site.service.draining.is_set():
            last = self._intake.ended = True
        bodiless = request.method == b"HEAD"
        self._out.append(response.encode(bodiless=bodiless, last=last) if bodiless or last else response.whole)
        self._count(request, response.status, of=of)

    def _fail(self, request: Request, error: Exception) -> None:
        of = trace.begin(request.header(b"traceparent"))
        if not isinstance(error, ProblemError):
            _log.error("a request failed", extra={"method": request.method.decode()}, exc_info=error)
            error = internal_error()
        service, route = self._site.service, parse_target(request.target).route
        service.audit.refused(
            error,
            action=f"{request.method.decode()} {route}",
            subject=self._caller.subject if self._caller else "",
            address=self._guard.address(peer=self._peer, forwarded_for=request.header(b"x-forwarded-for")),
        )
        self._respond(request, problem(error, trace_id=of.trace_id), of=of)

    def _count(self, request: Request, status: int, *, of: Trace | None = None) -> None:
        route, took_s = parse_target(request.target).route, time.perf_counter() - self._arrived
        metrics.ANSWERS.add(route, status, seconds=took_s)
        if SPANS.wanted:
            of = of or trace.begin(request.header(b"traceparent"))
            SPANS.answered(of, method=request.method.decode(), route=route, status=status, took_s=took_s)

    def _flush(self) -> None:
        if self._out:
            self._deadline = time.monotonic() + (HEAD_S if self._intake.partial else IDLE_S)
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _end(self) -> None:
        """Tell the caller that this is the end, and let them read the last answer even if they still send."""
        self._left = True
        self._deadline = time.monotonic() + LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
