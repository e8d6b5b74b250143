"""One request over a connection that was kept, or a new one."""

import asyncio

from tokenflow_gateway.errors import GatewayError, UpstreamError, UpstreamTimeoutError
from tokenflow_gateway.upstream.answer import Answer
from tokenflow_gateway.upstream.call import BodySink, Head
from tokenflow_gateway.upstream.connection import Connection
from tokenflow_gateway.upstream.pool import Pool


class PooledCall:
    """A request over a connection of a pool; fulfils the contract ``Call``."""

    def __init__(self, pool: Pool, request: list[bytes], *, bodiless: bool, connect_s: float) -> None:
        self._pool = pool
        self._request = request
        self._bodiless = bodiless
        self._connect_s = connect_s
        self._connection: Connection | None = None
        self._answer = Answer(upstream=pool.name, bodiless=bodiless)

    @property
    def error(self) -> GatewayError | None:
        """Why the answer broke off, if it did."""
        return self._answer.error

    async def send(self) -> None:
        """Send the request.

        Raises:
            UpstreamError: the upstream is out of reach.
        """
        connection = self._pool.rested()
        how = "reused" if connection else "new"
        await self._send(connection, how=how)

    async def head(self, *, within_s: float) -> Head:
        """Return the answer's head."""
        return await self._head(within_s=within_s, body=-1)

    async def begin(self, *, within_s: float) -> Head:
        """Return the answer's head once its body has begun as well, or has ended."""
        return await self._head(within_s=within_s, body=0)

    async def read(self, *, most: int, within_s: float) -> bytes:
        """Return the whole body."""
        self._answer.room = most
        self.resume()
        await self._wait(within_s=within_s, body=most)
        if self._answer.unread > most:
            self.cancel()
            raise UpstreamError(f"upstream {self._pool.name!r} answered with more than {most} bytes")
        if not self._answer.complete:
            raise self._broken()
        return self._answer.take()

    def pipe(self, sink: BodySink) -> None:
        """Hand the body to ``sink``; after ``cancel`` it is told nothing more."""
        self.resume()
        self._answer.pipe(sink)

    def pause(self) -> None:
        """Read no further for now."""
        if self._connection is not None and not self._answer.complete:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self._connection is not None and not self._answer.complete:
            self._connection.resume()

    def read_waiting(self) -> bool:
        """Take in what came while paused; return whether there was something."""
        return self._connection is not None and not self._answer.complete and self._connection.read_waiting()

    def cancel(self) -> None:
        """Close the connection, so that the upstream stops its work; one whose answer is whole stays open."""
        if self._connection is not None and not self._answer.complete:
            self._connection.cancel(self._answer)
        self._answer.abandon()

    async def _head(self, *, within_s: float, body: int) -> Head:
        await self._wait(within_s=within_s, body=body)
        if self._answer.head is None or (self._answer.error is not None and not self._answer.unread):
            raise self._broken()
        return self._answer.head

    def _broken(self) -> GatewayError:
        return self._answer.error or UpstreamError(f"the request to upstream {self._pool.name!r} was cancelled")

    async def _wait(self, *, within_s: float, body: int) -> None:
        if self._answer.has(body=body) and not self._was_stale():
            return
        try:
            async with asyncio.timeout(within_s):
                await self._answer.wait(body=body)
                if self._was_stale():
                    self._answer = Answer(upstream=self._pool.name, bodiless=self._bodiless)
                    await self._send(None, how="renewed")
                    await self._answer.wait(body=body)
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                f"upstream {self._pool.name!r} did not answer in time: is it overloaded? See spec.gateway.timeouts"
            ) from error

    def _was_stale(self) -> bool:
        """Whether the connection was closed by the upstream just when it was used again."""
        answer, connection = self._answer, self._connection
        return answer.error is not None and not answer.begun and connection is not None and connection.used

    async def _send(self, connection: Connection | None, *, how: str) -> None:
        self._connection = connection or await self._pool.connect(within_s=self._connect_s)
        self._pool.requests[how].inc()
        self._connection.send(self._request, self._answer)
