"""Which version of HTTP a connection speaks."""

import asyncio
import time
from typing import Final, cast

from tokenflow_gateway.front.frames import PREFACE
from tokenflow_gateway.front.http1 import Http1
from tokenflow_gateway.front.http2 import Http2
from tokenflow_gateway.front.site import Site

ALPN: Final = ("h2", "http/1.1")
"""Protocols that are offered by TLS, the preferred first."""


class Switch(asyncio.Protocol):
    """Hands a connection to its protocol: by what TLS agreed on, and in clear by the first bytes."""

    _transport: asyncio.Transport

    def __init__(self, site: Site) -> None:
        self._site = site
        self._data = b""
        self._deadline = time.monotonic() + site.limits.head_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Choose at once where TLS has chosen."""
        self._transport = cast("asyncio.Transport", transport)
        self._site.connections.add(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._become(Http2(self._site) if tls.selected_alpn_protocol() == "h2" else Http1(self._site))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget about a reader who never said what they speak."""
        del exc
        self._site.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Choose as soon as the first bytes tell."""
        self._data += data
        begun = self._data[: len(PREFACE)]
        if begun == PREFACE:
            self._become(Http2(self._site))
        elif not PREFACE.startswith(begun):
            self._become(Http1(self._site))

    def check(self, now: float) -> None:
        """Close a connection on which nothing is said."""
        if now >= self._deadline:
            self._transport.close()

    def leave(self) -> None:
        """Wait for a moment for what may be on its way."""
        self._deadline = min(self._deadline, time.monotonic() + self._site.limits.linger_s)

    def abort(self) -> None:
        """Close."""
        self._transport.abort()

    def _become(self, protocol: Http1 | Http2) -> None:
        self._site.connections.discard(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._data:
            protocol.data_received(self._data)
