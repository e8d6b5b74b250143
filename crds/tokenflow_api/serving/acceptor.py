"""Accepts connections, many at a time.

uvloop takes one connection in each turn of its loop (libuv, PR 3696): a thousand clients that come back at once while
others are busy would wait for seconds.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final, cast

from tokenflow_api.serving.plain_http import turned_away
from tokenflow_api.serving.tls import Certificates

_log = logging.getLogger(__name__)

BACKLOG: Final = 4096
AT_ONCE: Final = 128
"""Connections taken in one turn of the event loop."""
HANDSHAKE_S: Final = 10.0
MAX_CONNECTIONS: Final = 16_384
"""Open at once, on one port."""
PAUSE_S: Final = 0.5
"""Rest when there is no room, or no file is left: clients wait in the backlog."""
LINGER_S: Final = 3.0
"""Time that connections which rest have to ask once more, and to be told that they close."""
_LOOK_S: Final = 0.05
_NOT_YET: Final = 32_768
"""Bytes that must have arrived before a connection counts as readable: no client sends so many before a handshake."""


class _Early(asyncio.Protocol):
    """Keeps what a client sends with the end of the handshake, until somebody can take it.

    Attributes:
        lost: whether the connection has ended.
    """

    def __init__(self) -> None:
        self.lost = False
        self._data = b""
        self._ended = False

    def data_received(self, data: bytes) -> None:
        """Keep some bytes."""
        self._data += data

    def eof_received(self) -> None:
        """Remember the end."""
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember the end of everything."""
        del exc
        self.lost = True

    def hand_on(self, transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
        """Let a protocol have the connection, and what was kept."""
        taker = cast("asyncio.Protocol", protocol)
        transport.set_protocol(taker)
        taker.connection_made(transport)
        if self._data:
            taker.data_received(self._data)
        if self._ended:
            taker.eof_received()


class Acceptor:
    """Takes connections of one listening socket.

    Args:
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        protocol: makes the protocol of each connection.
        open_now: returns how many connections are open.
        tls: how they are encrypted; ``None`` for plain TCP.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        protocol: Callable[[], asyncio.BaseProtocol],
        open_now: Callable[[], int],
        tls: Certificates | None = None,
    ) -> None:
        self._listening = socket.create_server((host, port), backlog=BACKLOG)
        self._protocol = protocol
        self._open_now = open_now
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pausing: asyncio.TimerHandle | None = None
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        self._loop.add_reader(self._listening, self._accept)

    async def drain(self) -> None:
        """Accept no more, and wait for the present connections to end by themselves, for a moment.

        One that rests is not closed at once: its client may be sending the next request just now.
        """
        await self.close()
        until = time.monotonic() + LINGER_S
        while self._open_now() and time.monotonic() < until:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Accept no more; closing again does nothing."""
        if self._pausing is not None:
            self._pausing.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    def _accept(self) -> None:
        room = MAX_CONNECTIONS - self._open_now() - len(self._connecting)
        for _ in range(min(AT_ONCE, room)):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.error("connections cannot be accepted", extra={"reason": str(error)})
                self._pause()
                return
            connection.setblocking(False)
            # asyncio does so for the sockets it accepts itself.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        if room <= 0:
            self._pause()

    async def _connect(self, connection: socket.socket) -> None:
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(self._protocol, connection)
            elif await turned_away(connection, within_s=HANDSHAKE_S):
                self._tls.figures.plain_http.inc()
            else:
                await self._encrypt(connection, self._tls.context)
        except OSError as error:
            _log.debug("a connection came to nothing", extra={"reason": str(error)})

    async def _encrypt(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        """Begin TLS on a connection.

        What is below TLS keeps nothing to itself that the kernel does not take: whoever writes would not know of it.
        """
        early = _Early()
        # uvloop reads from the first moment, and what it had read would be lost to TLS.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _NOT_YET)
        below, _ = await self._loop.connect_accepted_socket(lambda: early, connection)
        if below.is_closing():
            return
        below.pause_reading()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        below.set_write_buffer_limits(high=0)
        above = await self._loop.start_tls(below, early, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S)
        if above is not None and not early.lost:
            early.hand_on(above, self._protocol())

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening)
        self._pausing = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)
