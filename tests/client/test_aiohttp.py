"""aiohttp's client, paced by its middleware."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.client.hint_service import FakeHintService, eventually, hint, served
from tokenflow_client import State, TokenFlow
from tokenflow_client import aiohttp as module
from tokenflow_client.aiohttp import paced

EVENTS = [*(f"data: é{number}\n\n".encode() for number in range(8)), b": bye\n\n", b"data: [DONE]\n\n"]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_compression()
        await response.prepare(request)
        await response.write(b"".join(EVENTS))
        return response

    async def document(_: web.Request) -> web.Response:
        return web.json_response({"id": 1})

    app = web.Application()
    app.add_routes([web.get("/stream", stream), web.get("/document", document)])
    async with served(app) as url:
        yield url


@pytest.fixture
async def session(hints: FakeHintService) -> AsyncIterator[aiohttp.ClientSession]:
    await hints.say(hint(50.0))
    async with TokenFlow(hints.url) as tf:
        await eventually(lambda: tf.state is State.LIVE)
        async with aiohttp.ClientSession(middlewares=[paced(tf)]) as session:
            yield session


async def test_events_come_whole_and_at_their_time(session: aiohttp.ClientSession, url: str) -> None:
    started = time.monotonic()
    async with session.get(f"{url}/stream") as response:
        assert [event async for event in response.content.iter_any()] == EVENTS
        assert response.content.at_eof()
    assert time.monotonic() - started >= 8 / 50 - 0.1


async def test_every_way_to_read_tells_the_same_bytes(session: aiohttp.ClientSession, url: str) -> None:
    whole = b"".join(EVENTS)
    async with session.get(f"{url}/stream") as response:
        assert await response.read() == whole
    async with session.get(f"{url}/stream") as response:
        assert b"".join([line async for line in response.content]) == whole
    async with session.get(f"{url}/stream") as response:
        pieces = [piece async for piece in response.content.iter_chunked(5)]
        assert b"".join(pieces) == whole
        assert max(map(len, pieces)) == 5
    async with session.get(f"{url}/stream") as response:
        assert [chunk async for chunk in response.content.iter_chunks()] == [(event, True) for event in EVENTS]
    async with session.get(f"{url}/stream") as response:
        assert await response.content.readuntil(b"2\n\n") == b"".join(EVENTS[:3])
        assert await response.content.read(4) == b"data"
        assert response.content.read_nowait(2) == b": "
        assert response.content.read_nowait() + await response.content.readexactly(6) == "é3\n\ndata: ".encode()
        with pytest.raises(asyncio.IncompleteReadError):
            await response.content.readexactly(10_000)


async def test_a_line_without_an_end_is_not_kept(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1000)

    async def line(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"\r\r".join([b"data: x"] * 500))
        return response

    app = web.Application()
    app.router.add_get("/", line)
    async with served(app) as url, session.get(url) as response:
        with pytest.raises(ValueError, match="within 1000 bytes"):
            await response.content.readline()


async def test_a_short_line_of_a_long_event_is_read(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1000)

    async def event(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: long\ndata: " + b"x" * 2000 + b"\n\n")
        return response

    app = web.Application()
    app.router.add_get("/", event)
    async with served(app) as url, session.get(url) as response:
        lines = [line async for line in response.content]
    assert lines == [b"event: long\n", b"data: " + b"x" * 2000 + b"\n", b"\n"]


async def test_other_answers_pass(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url}/document") as response:
        assert await response.json() == {"id": 1}
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        await session.get(f"{url}/nothing", raise_for_status=True)


async def test_leaving_a_stream_leaves_the_endpoint(session: aiohttp.ClientSession) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"data: 1\n\n")
                await asyncio.sleep(0.001)
        finally:
            left.set()

    app = web.Application()
    app.router.add_get("/", endless)
    async with served(app) as url:
        async with session.get(url) as response:
            assert await response.content.readany() == b"data: 1\n\n"
        async with asyncio.timeout(30):
            await left.wait()
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
