"""Requests to upstreams, over connections that are kept."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import UpstreamError
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.keys import UpstreamKeys
from tokenflow_gateway.upstream.origin import parse_origin, request_bytes
from tokenflow_gateway.upstream.pool import Pool
from tokenflow_gateway.upstream.pooled_call import PooledCall


class UpstreamClient:
    """Holds the connections to all upstreams.

    Args:
        keys: of the gateway at its upstreams.
        tls: how https is verified; by default as the system says.
    """

    def __init__(self, keys: UpstreamKeys, *, tls: ssl.SSLContext | None = None) -> None:
        self._keys = keys
        self._tls = tls or ssl.create_default_context()
        self._pools: dict[tuple[str, str], Pool] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.keep(())
        # The ends of connections are told in the next turn of the event loop.
        await asyncio.sleep(0)

    async def send(self, upstream: Upstream, outgoing: Outgoing, *, connect_s: float) -> PooledCall:
        """Send a request; whoever asked ends it by ``cancel``.

        Raises:
            InvalidRequestError: it cannot be sent as it is.
            UpstreamError: the upstream is out of reach.
        """
        pool = self._pool(upstream)
        request = request_bytes(pool.origin, outgoing, api_key=self._keys.key(upstream))
        call = PooledCall(pool, request, bodiless=outgoing.method == "HEAD", connect_s=connect_s)
        await call.send()
        return call

    @asynccontextmanager
    async def call(self, upstream: Upstream, outgoing: Outgoing, *, connect_s: float) -> AsyncIterator[PooledCall]:
        """Send a request, and cancel it at the end unless its answer is whole.

        Raises:
            InvalidRequestError: it cannot be sent as it is.
            UpstreamError: the upstream is out of reach.
        """
        call = await self.send(upstream, outgoing, connect_s=connect_s)
        try:
            yield call
        finally:
            call.cancel()

    def keep(self, upstreams: tuple[Upstream, ...]) -> None:
        """Let go of the connections to all others, each when its request has ended."""
        kept = {(upstream.name, upstream.url) for upstream in upstreams}
        for key in self._pools.keys() - kept:
            self._pools.pop(key).close()

    def _pool(self, upstream: Upstream) -> Pool:
        key = (upstream.name, upstream.url)
        if key not in self._pools:
            try:
                origin = parse_origin(upstream.url)
            except ValueError as error:
                raise UpstreamError(
                    f"the URL of upstream {upstream.name!r} has no host that can be: correct"
                    " spec.gateway.upstreams[].url"
                ) from error
            self._pools[key] = Pool(upstream.name, origin, tls=self._tls)
        return self._pools[key]
