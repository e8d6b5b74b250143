"""The agent's port among clients that behave, and others."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenflow_agent.export import server as server_module
from tokenflow_agent.export.server import MAX_CONNECTIONS, Answer, Page, Request, Server


def page(request: Request) -> Answer:
    return Answer("text/plain", [f"{dict(request.query)} {request.accept}".encode()])


def endless(_: Request) -> Answer:
    def blocks() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 16)

    return Answer("text/plain", blocks())


def broken(_: Request) -> Answer:
    raise ZeroDivisionError


PAGES = {"/page": page, "/endless": endless, "/broken": broken}


@asynccontextmanager
async def serving(pages: Mapping[str, Page] = PAGES) -> AsyncIterator[tuple[Server, int]]:
    server = Server(pages)
    await server.start(host="127.0.0.1", port=0)
    assert server._server is not None
    try:
        yield server, server._server.sockets[0].getsockname()[1]
    finally:
        await server.close()


async def said(port: int, *pieces: bytes, end: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_get_answers_with_query_and_accept() -> None:
    async with serving() as (_, port):
        answer = await said(port, b"GET /page?after=3 HTTP/1.1\r\nHost: a\r\nAcc", b"ept: x/y\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"{'after': '3'} x/y" in answer


async def test_head_answers_without_a_body() -> None:
    async with serving() as (_, port):
        answer = await said(port, b"HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "status", "words"),
    [
        (b"GET /nothing HTTP/1.1", b"404", b"there is nothing here but /broken, /endless, /page"),
        (b"POST /page HTTP/1.1", b"405", b"only GET and HEAD are served here"),
        (b"GET  two spaces HTTP/1.1", b"400", b"illegal request line"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1", b"431", b""),
    ],
)
async def test_what_is_not_served_is_told(request_line: bytes, status: bytes, words: bytes) -> None:
    async with serving() as (_, port):
        answer = await said(port, request_line + b"\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert words in answer


async def test_a_page_that_fails_ends_its_own_connection_alone() -> None:
    async with serving() as (_, port):
        assert await said(port, b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        assert b"200" in await said(port, b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")


async def test_clients_that_say_nothing_do_not_keep_the_kubelet_out() -> None:
    async with serving() as (_, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4 * MAX_CONNECTIONS)]
        assert b"200" in await said(port, b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        for _, writer in silent:
            writer.close()


async def test_of_a_crowd_that_comes_at_once_the_first_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 60.0)
    async with serving() as (server, port):
        # Connected by the kernel alone, so that the server meets them all in one turn of its loop.
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(90)]
        assert b"200" in await said(port, b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len(server._open) <= MAX_CONNECTIONS
        for client in crowd[: len(crowd) - MAX_CONNECTIONS]:
            client.setblocking(False)
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 30) == b""
        for client in crowd:
            client.close()


async def test_others_are_served_between_two_pieces_of_an_answer() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def page_in_pieces(_: Request) -> Answer:
        return Answer("text/plain", (str(turns).encode() + b" " for _ in range(3)))

    async with serving({"/pieces": page_in_pieces}) as (_, port):
        task = asyncio.create_task(other())
        answer = await said(port, b"GET /pieces HTTP/1.0\r\n\r\n")
        task.cancel()
    seen = answer.partition(b"\r\n\r\n")[2].split()
    assert len(set(seen)) == 3


async def test_a_client_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 0.05)
    async with serving() as (_, port):
        assert await said(port, b"GET /page HT") == b""


async def test_a_client_that_reads_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ANSWER_TIMEOUT_S", 0.2)
    async with serving() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(1)
        (serve,) = server._open
        await asyncio.wait_for(serve, 30)
        left = await asyncio.wait_for(reader.read(), 30)
        assert len(left) < 8 << 20
        writer.close()


@settings(max_examples=50, deadline=None)
@given(noise=st.binary(max_size=3000))
def test_noise_is_answered_or_left(noise: bytes) -> None:
    async def answer() -> bytes:
        async with serving() as (_, port):
            return await said(port, noise, end=True)

    heard = asyncio.run(answer())
    assert heard == b"" or heard.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
