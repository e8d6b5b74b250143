"""Accepts connections, many at a time.

uvloop takes one connection in each turn of its loop (libuv, PR 3696): a thousand clients that come back at once while
others are busy would wait for seconds.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

BACKLOG: Final = 4096
AT_ONCE: Final = 128
"""Connections taken in one turn of the event loop."""
HANDSHAKE_S: Final = 10.0
PAUSE_S: Final = 0.5
"""Rest when there is no room, or no file is left: clients wait in the backlog."""


class Acceptor:
    """Takes connections of one listening socket.

    Args:
        listening: bound, not yet listening.
        protocol: makes the protocol of each connection.
        room: returns how many more connections there may be.
        tls: how they are encrypted; ``None`` for plain TCP.
    """

    def __init__(
        self,
        listening: socket.socket,
        *,
        protocol: Callable[[], asyncio.Protocol],
        room: Callable[[], int],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._room = room
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pausing: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._loop.add_reader(listening, self._accept)

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
        room = self._room() - len(self._connecting)
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
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        if room <= 0:
            self._pause()

    async def _connect(self, connection: socket.socket) -> None:
        handshake_s = HANDSHAKE_S if self._tls else None
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:
            _log.debug("a connection came to nothing", extra={"reason": str(error)})

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening)
        self._pausing = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)
