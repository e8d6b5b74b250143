"""The keys of an issuer, fetched by https from a server that may misbehave, by either server's client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from e2e.bench.proc import free_port
from tests.serving.authority import Authority
from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.issuers import Fetch, PublishedKeys
from tokenflow_gateway.identity import fetch as gateway
from tokenflow_hintsvc.guard import fetch as hintsvc


@pytest.fixture(params=[gateway, hintsvc], ids=["gateway", "hintsvc"])
def fetch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    monkeypatch.setattr(request.param, "FETCH_S", 0.5)
    fetch: Fetch = request.param.fetch
    return fetch


@asynccontextmanager
async def issuer(directory: Path, fetch: Fetch) -> AsyncIterator[PublishedKeys]:
    """Serve every way to answer; return the keys at ``/good``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/good":
                return web.json_response({"keys": []})
            case "/large":
                return web.Response(body=b" " * 300_000)
            case "/moved":
                return web.Response(status=302, headers={"Location": "/good"})
            case "/text":
                return web.Response(text="no JSON")
            case "/list":
                return web.json_response([])
            case _:
                return web.Response(status=503)

    authority = Authority("ca")
    authority.issue(directory, "issuer")
    app = web.Application()
    app.add_routes([web.get("/{path}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=authority.server(directory)).start()
    try:
        yield PublishedKeys(
            issuer="https://issuer.example",
            url=f"https://127.0.0.1:{port}/good",
            fetch_document=fetch,
            context=authority.client(),
        )
    finally:
        await runner.cleanup()


async def test_a_good_document_is_taken(tmp_path: Path, fetch: Fetch) -> None:
    async with issuer(tmp_path, fetch) as keys:
        assert (await keys.fetch()).document == {"keys": []}


@pytest.mark.parametrize("path", ["large", "moved", "text", "list", "away"])
async def test_any_other_answer_is_refused(tmp_path: Path, fetch: Fetch, path: str) -> None:
    async with issuer(tmp_path, fetch) as keys:
        other = replace(keys, url=keys.url.replace("good", path))
        with pytest.raises(KeysError):
            await other.fetch()


async def test_a_server_that_nobody_vouches_for_is_refused(tmp_path: Path, fetch: Fetch) -> None:
    async with issuer(tmp_path, fetch) as keys:
        with pytest.raises(KeysError, match="out of reach"):
            await replace(keys, context=Authority("other").client()).fetch()


async def test_a_server_that_is_silent_does_not_hold_up_callers(fetch: Fetch) -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(KeysError):
            await PublishedKeys(
                issuer="i",
                url=f"https://127.0.0.1:{port}/keys",
                fetch_document=fetch,
                context=Authority("ca").client(),
            ).fetch()
        await left.wait()


async def test_keys_are_asked_for_by_https_alone(fetch: Fetch) -> None:
    with pytest.raises(KeysError, match="https"):
        await PublishedKeys(issuer="i", url="http://127.0.0.1:1/keys", fetch_document=fetch).fetch()
