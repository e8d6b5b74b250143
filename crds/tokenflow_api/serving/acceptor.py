"""Accepts connections, many at a time.

uvloop takes one connection in each turn of its loop (libuv, PR 3696): a thousand clients that come back at once while
others are busy would wait for seconds.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

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
        context = self._tls.context if self._tls else None
        handshake_s = HANDSHAKE_S if context else None
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=context, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:
            _log.debug("a connection came to nothing", extra={"reason": str(error)})

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening)
        self._pausing = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)
