"""Connections to one upstream, kept for the next request."""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohappyeyeballs

from tokenflow_gateway.errors import UpstreamError
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.connection import Connection
from tokenflow_gateway.upstream.origin import Origin

MOST_IDLE: Final = 256
IDLE_S: Final = 4.0
"""Rest between two requests: below the 5 s after which uvicorn, and so vLLM and SGLang, close."""
LONGEST_S: Final = 300.0
"""A connection carries no new request at this age: names are looked up again, and new pods get their share."""
_HAPPY_EYEBALLS_S: Final = 0.25
"""RFC 8305: the next address is tried when the one before has not answered for so long."""


class Pool:
    """Connections to one upstream.

    Args:
        name: of the upstream, for messages.
        origin: where it is.
        tls: how https is verified.
        idle_s: longest rest of a connection between two requests.
        clock: monotonic, in seconds.

    Attributes:
        requests: counts them, by the connection that they took.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        *,
        tls: ssl.SSLContext,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.origin = origin
        self.requests = {how: metrics.CONNECTIONS.labels(name, how) for how in ("new", "reused", "renewed")}
        self._tls = tls if origin.tls else None
        self._idle_s = idle_s
        self._clock = clock
        self._made: dict[Connection, float] = {}
        self._idle: deque[tuple[Connection, float]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    def rested(self) -> Connection | None:
        """Return a connection that waits for a request, the one that rested least."""
        while self._idle:
            connection, since = self._idle.pop()
            if self._usable(connection, since):
                return connection
            connection.abort()
        return None

    async def connect(self, *, within_s: float) -> Connection:
        """Make a connection.

        Raises:
            UpstreamError: the upstream is out of reach, or was not reached within ``within_s``.
        """
        try:
            async with asyncio.timeout(within_s):
                connection = await self._connect()
        except (OSError, TimeoutError, ValueError) as error:
            raise UpstreamError(
                f"upstream {self.name!r} is out of reach ({_cause(error)}): check spec.gateway.upstreams[].url and"
                " that its pods are ready"
            ) from error
        self._made[connection] = self._clock()
        return connection

    def close(self) -> None:
        """Close what rests, and everything else when its request ends."""
        self._closed = True
        while self._idle:
            self._idle.pop()[0].abort()
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self.origin.host, self.origin.port, type=socket.SOCK_STREAM)
        connected = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_S)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: Connection(freed=self._freed, lost=self._lost),
                sock=connected,
                ssl=self._tls,
                server_hostname=self.origin.host if self._tls else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def _usable(self, connection: Connection, since: float) -> bool:
        now = self._clock()
        young = now - self._made.get(connection, now) < LONGEST_S
        return not connection.closing and young and now - since < self._idle_s

    def _freed(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        self._idle.append((connection, self._clock()))
        if len(self._idle) > MOST_IDLE:
            self._idle.popleft()[0].abort()
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._idle_s, self._sweep)

    def _sweep(self) -> None:
        """Close what rested for too long: the one that rested longest stands first."""
        while self._idle and not self._usable(*self._idle[0]):
            self._idle.popleft()[0].abort()
        self._sweeping = asyncio.get_running_loop().call_later(self._idle_s, self._sweep) if self._idle else None

    def _lost(self, connection: Connection) -> None:
        self._made.pop(connection, None)


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return type(error).__name__
