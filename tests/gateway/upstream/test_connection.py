"""What a connection does where timing decides."""

import asyncio

import pytest

from tests.gateway.upstream.servers import OK, Server, says, serving
from tokenflow_gateway.errors import UpstreamBrokeOffError
from tokenflow_gateway.upstream.answer import Answer
from tokenflow_gateway.upstream.connection import Connection


async def test_one_that_was_closed_before_its_first_request_says_so_at_once() -> None:
    lost = asyncio.Event()

    async def connect(server: Server) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(freed=lambda _: None, lost=lambda _: lost.set()), "127.0.0.1", server.port
        )
        return connection

    async with serving(says(OK)) as server:
        connection = await connect(server)
        connection.abort()
        await lost.wait()
        answer = Answer(upstream="llama", bodiless=False)
        connection.send([b"GET / HTTP/1.1\r\n\r\n"], answer)
        await answer.wait(body=-1)
        with pytest.raises(UpstreamBrokeOffError, match="closed the connection without an answer"):
            raise answer.error or AssertionError
        connection.pause()
        connection.resume()
        connection.abort()
