"""What a connection of HTTP/2 sends."""

import asyncio
from typing import Final

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from tokenflow_gateway.front.wire import Wire

_AT_ONCE: Final = 16_384
"""Bytes that are gathered before they are written."""


class Outbox:
    """Writes what the library has to send by the end of the turn: streams that send in one turn share a write."""

    __slots__ = ("_flush", "_gathered", "_h2", "_wire")

    def __init__(self, h2: H2Connection, wire: Wire) -> None:
        self._h2 = h2
        self._wire = wire
        self._gathered = 0
        self._flush: asyncio.Handle | None = None

    def soon(self, *, size: int = 0) -> None:
        """Write by the end of this turn of the event loop; ``size`` bytes of bodies came on top."""
        self._gathered += size
        if self._gathered >= _AT_ONCE:
            self.now()
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self.now)

    def now(self) -> None:
        """Write."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._gathered = 0
        data = self._h2.data_to_send()
        if data:
            self._wire.write(data)

    def go_away(self, last: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Tell the reader that no stream behind ``last`` is answered; the library could send nothing after its own."""
        self.now()
        self._wire.write(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())
