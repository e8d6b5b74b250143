"""Small answers, which are read as a whole."""

import asyncio

from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.origin import request_bytes
from tokenflow_gateway.upstream.pool import Pool
from tokenflow_gateway.upstream.pooled_call import PooledCall


async def whole_answer(
    pool: Pool, outgoing: Outgoing, *, api_key: str, most: int, within_s: float
) -> tuple[int, bytes]:
    """Send a request, and return the status and the body of its answer.

    Args:
        pool: of connections to whom it goes.
        outgoing: the request.
        api_key: to show; empty for none.
        most: bytes that the body may have.
        within_s: time for all of it, the connection too.

    Raises:
        GatewayError: there was no such answer.
        TimeoutError: it was not whole in time.
    """
    request = request_bytes(pool.origin, outgoing, api_key=api_key)
    # One deadline holds for all.
    call = PooledCall(pool, request, bodiless=False, connect_s=2 * within_s)
    try:
        async with asyncio.timeout(within_s):
            await call.send()
            head = await call.head(within_s=2 * within_s)
            return head.status, await call.read(most=most, within_s=2 * within_s)
    finally:
        # An answer that comes late must not be taken for that to the next request.
        call.cancel()
