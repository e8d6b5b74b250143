"""The port that readers come to."""

import asyncio
import time
from typing import Final

from tokenflow_api.serving.acceptor import Acceptor
from tokenflow_api.serving.tls import Certificates
from tokenflow_gateway.front import metrics
from tokenflow_gateway.front.exchange import Handler
from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.running import Exchanges
from tokenflow_gateway.front.site import Site
from tokenflow_gateway.front.switch import Switch

_CHECK_S: Final = 1.0
_LOOK_S: Final = 0.05
_CHECKED_AT_ONCE: Final = 500
"""Connections looked at in one turn of the event loop."""


class Front:
    """Serves HTTP/1.1 and HTTP/2 on one port, with and without TLS.

    Args:
        handler: answers each request.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        tls: how connections are encrypted; ``None`` for plain TCP.
        limits: of connections.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        host: str,
        port: int,
        tls: Certificates | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._site = Site(limits=limits or Limits(), exchanges=Exchanges(handler))
        self._acceptor: Acceptor | None = None
        self._checking: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port, once it is open."""
        return self._acceptor.port if self._acceptor else self._port

    @property
    def in_flight(self) -> int:
        """Exchanges that have begun and not ended."""
        return len(self._site.exchanges)

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._site.connections)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        self._acceptor = Acceptor(
            host=self._host,
            port=self._port,
            protocol=lambda: Switch(self._site),
            open_now=lambda: len(self._site.connections),
            tls=self._tls,
        )
        self._checking = asyncio.get_running_loop().create_task(self._check())

    async def drain(self, deadline_s: float) -> int:
        """Accept no more, send readers away, and let what is under way end.

        Connections that rest are told, where their protocol has a word for it, and have a moment for one more
        request, which may be on its way.

        Args:
            deadline_s: seconds that exchanges have to end.

        Returns:
            Exchanges that did not, and were broken off.
        """
        if self._acceptor is not None:
            await self._acceptor.close()
        self._site.leaving = True
        for connection in tuple(self._site.connections):
            connection.leave()
        await self._ended(deadline_s)
        left = await self._break_off()
        # What was told them at last may still be on its way.
        await self._ended(self._site.limits.linger_s)
        return left

    async def close(self) -> None:
        """End whatever is left; closing again does nothing."""
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._break_off()
        for connection in tuple(self._site.connections):
            connection.abort()
        # Their ends are told in the next turn of the event loop.
        await asyncio.sleep(0)
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    async def _ended(self, within_s: float) -> None:
        """Wait until nothing is under way, but not longer."""
        until = time.monotonic() + within_s
        site = self._site
        while (site.connections or site.exchanges) and time.monotonic() < until:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_LOOK_S)

    async def _break_off(self) -> int:
        left = await self._site.exchanges.cancel()
        metrics.CUT.labels(reason="deadline").inc(left)
        return left

    async def _check(self) -> None:
        """Look after the time limits of all connections, for ever."""
        while True:
            await asyncio.sleep(_CHECK_S)
            now = time.monotonic()
            connections = tuple(self._site.connections)
            for start in range(0, len(connections), _CHECKED_AT_ONCE):
                for connection in connections[start : start + _CHECKED_AT_ONCE]:
                    connection.check(now)
                await asyncio.sleep(0)
