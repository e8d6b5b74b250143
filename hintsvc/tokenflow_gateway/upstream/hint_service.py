"""Small requests to the hint service, over connections that rest between them."""

import asyncio
import functools
import ssl
import time
from collections.abc import Callable
from typing import Final

from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.origin import parse_origin, request_bytes
from tokenflow_gateway.upstream.pool import Pool
from tokenflow_gateway.upstream.pooled_call import PooledCall

IDLE_S: Final = 30.0
"""Rest of a connection between two requests: below the 75 s after which the hint service closes."""
_MOST_BYTES: Final = 64 << 10


class HintService:
    """Posts documents to the hint service.

    Args:
        url: its base URL.
        tls: called for how https is verified: another context when that changed, and what rests is closed then; by
            default as the system says.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = parse_origin(url)
        self._tls = tls or functools.cache(ssl.create_default_context)
        self._clock = clock
        self._context = self._tls()
        self._pool = self._connections()

    async def post(
        self, path: str, body: bytes, *, content_type: str, token: str, within_s: float
    ) -> tuple[int, bytes]:
        """Post a document, and return the status and the body of the answer.

        Args:
            path: where to.
            body: the document.
            content_type: of it.
            token: to show; empty for none.
            within_s: time for all of it, a new connection too.

        Raises:
            GatewayError: there was no answer, or none of at most 64 KiB.
            TimeoutError: it was not whole in time.
        """
        outgoing = Outgoing(method="POST", target=path, headers={"Content-Type": content_type}, body=body)
        pool = self._present_pool()
        # One deadline holds for all.
        call = PooledCall(
            pool, request_bytes(pool.origin, outgoing, api_key=token), bodiless=False, connect_s=2 * within_s
        )
        try:
            async with asyncio.timeout(within_s):
                await call.send()
                head = await call.head(within_s=2 * within_s)
                return head.status, await call.read(most=_MOST_BYTES, within_s=2 * within_s)
        finally:
            # An answer that comes late must not be taken for that to the next request.
            call.cancel()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.close()

    def _present_pool(self) -> Pool:
        context = self._tls()
        if context is not self._context:
            self._pool.close()
            self._context = context
            self._pool = self._connections()
        return self._pool

    def _connections(self) -> Pool:
        return Pool("hint service", self._origin, tls=self._context, idle_s=IDLE_S, clock=self._clock)
