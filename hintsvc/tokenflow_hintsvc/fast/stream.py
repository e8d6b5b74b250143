"""One open stream of the fast listener."""

import asyncio
import logging
import time
from http import HTTPStatus

from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.fast.messages import LAST_CHUNK, Request, chunk, head
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.view.backlog import keep_short
from tokenflow_hintsvc.view.feed import DRAINING, KEEP_ALIVE, STREAM_HEADERS, Audience

_log = logging.getLogger(__name__)


class Stream:
    """Writes what is new as long as its reader follows; what they miss is never sent late.

    Attributes:
        written: when something was written last, by the monotonic clock, in seconds.
    """

    __slots__ = ("_caller", "_chunked", "_flowing", "_over", "_service", "_subscription", "_transport", "written")

    def __init__(self, request: Request, caller: Caller, *, service: Service, transport: asyncio.Transport) -> None:
        self._service = service
        self._transport = transport
        self._caller = caller
        self._chunked = request.chunked
        self._flowing = True
        self._over = False
        self._subscription = service.feed.subscribe(
            Audience.of(caller), self.wake, last_event_id=request.header(b"last-event-id")
        )
        keep_short(transport)
        self._write(self._subscription.take() or KEEP_ALIVE, before=_head(chunked=request.chunked))
        if service.feed.ended:
            self._end(DRAINING)

    def wake(self) -> None:
        """Write what is new, or the end."""
        self._tell()

    def keep_alive(self) -> None:
        """Write what is new, or that nothing is, or the end."""
        self._tell(otherwise=KEEP_ALIVE)

    def pause(self) -> None:
        """Wait for the reader."""
        self._flowing = False

    def resume(self) -> None:
        """Go on with the newest."""
        self._flowing = True
        self.wake()

    def close(self) -> None:
        """Forget about it."""
        self._subscription.close()

    def _tell(self, *, otherwise: bytes = b"") -> None:
        if self._over:
            return
        if self._service.feed.ended:
            self._end(DRAINING)
        elif self._flowing:
            try:
                caller = self._service.guard.renew(self._caller)
            except ProblemError as error:
                _log.info("a stream has ended", extra={"reason": str(error)})
                self._end(b"")
                return
            if caller is not self._caller:
                self._caller = caller
                self._subscription.audience = Audience.of(caller)
            if events := self._subscription.take() or otherwise:
                self._write(events)

    def _write(self, events: bytes, *, before: bytes = b"") -> None:
        self.written = time.monotonic()
        self._transport.write(before + (chunk(events) if self._chunked else events))

    def _end(self, events: bytes) -> None:
        self._over = True
        self.close()
        if self._chunked:
            events = (chunk(events) if events else b"") + LAST_CHUNK
        self._transport.write(events)
        self._transport.close()


def _head(*, chunked: bool) -> bytes:
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
    return head(HTTPStatus.OK, {**STREAM_HEADERS, **framing}) + b"\r\n"
