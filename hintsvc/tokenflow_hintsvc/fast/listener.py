"""The fast listener as a whole."""

import asyncio
import time
from typing import Final

from tokenflow_api.serving.acceptor import Acceptor
from tokenflow_api.serving.tls import Certificates
from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.fast.connection import Connection
from tokenflow_hintsvc.fast.site import Site

CHECK_S: Final = 1.0
CHECKED_AT_ONCE: Final = 500
"""Connections looked at in one turn of the event loop."""


class FastListener:
    """Serves hint reads and the stream on a port of its own.

    Args:
        service: the replica.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        tls: how connections are encrypted; ``None`` for plain TCP.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, service: Service, *, host: str, port: int, tls: Certificates | None = None) -> None:
        self._site = site = Site(service)
        self._acceptor = Acceptor(
            host=host,
            port=port,
            protocol=lambda: Connection(site),
            open_now=lambda: len(site.connections),
            tls=tls,
        )
        self.port = self._acceptor.port

    async def run(self) -> None:
        """Look after the time limits of all connections, for ever."""
        while True:
            await asyncio.sleep(CHECK_S)
            now = time.monotonic()
            connections = tuple(self._site.connections)
            for start in range(0, len(connections), CHECKED_AT_ONCE):
                for connection in connections[start : start + CHECKED_AT_ONCE]:
                    connection.check(now)
                await asyncio.sleep(0)

    async def drain(self) -> None:
        """Take no more connections, let each answer be the last of its own, and wait for a moment."""
        await self._acceptor.drain()

    async def close(self) -> None:
        """End what is left."""
        await self._acceptor.close()
        for connection in tuple(self._site.connections):
            connection.abort()
        # Their ends are told in the next turn of the event loop.
        await asyncio.sleep(0)
        await self._site.rest()
