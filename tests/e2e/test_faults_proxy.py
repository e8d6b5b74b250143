"""The proxy in front of an API server that remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from e2e.faults.asked import Asked
from e2e.faults.faults import BROKEN, EXPIRED, FORGETFUL, READ_ONLY, THROTTLED, THROTTLED_BY_HALF
from e2e.faults.proxy import Proxy

NODES = "/api/v1/nodes"
STATUS = "/apis/tokenflow.io/v1alpha1/namespaces/a/pacingpolicies/b/status"


@dataclass
class Server:
    """An API server, and the way to it."""

    proxy: Proxy
    client: TestClient
    carried_out: list[str] = field(default_factory=list)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    carried_out: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"type": "ADDED"}\n')
            await asyncio.Event().wait()
        carried_out.append(f"{request.method} {request.path_qs} {await request.text()}".strip())
        return web.json_response({"kind": "NodeList"}, headers={"Audit-Id": "1"})

    upstream = web.Application()
    upstream.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(upstream) as api, aiohttp.ClientSession(api.make_url("/")) as session:
        proxy = Proxy(session)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        # One connection for each request, as a broken one would take others with it.
        connector = aiohttp.TCPConnector(force_close=True)
        async with TestClient(TestServer(app), connector=connector) as client:
            yield Server(proxy=proxy, client=client, carried_out=carried_out)


async def test_requests_pass_as_they_are(server: Server) -> None:
    answer = await server.client.patch(f"{STATUS}?fieldManager=a%2Fb&force=true", data="{}")
    assert (answer.status, await answer.json(), answer.headers["Audit-Id"]) == (200, {"kind": "NodeList"}, "1")
    assert server.carried_out == [f"PATCH {STATUS}?fieldManager=a/b&force=true {{}}"]
    assert server.proxy.counts == {Asked(verb="patch", resource="pacingpolicies/status"): 1}
    assert server.proxy.writes == 1


async def test_throttled_requests_are_told_when_to_come_back(server: Server) -> None:
    with server.proxy.wrong(THROTTLED):
        answer = await server.client.get(NODES)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert (await answer.json())["reason"] == "TooManyRequests"
    assert (await server.client.get(NODES)).status == 200


async def test_every_second_request_is_throttled(server: Server) -> None:
    with server.proxy.wrong(THROTTLED_BY_HALF):
        assert [(await server.client.get(NODES)).status for _ in range(4)] == [429, 200, 429, 200]


async def test_a_read_only_etcd_serves_reads(server: Server) -> None:
    with server.proxy.wrong(READ_ONLY):
        assert [(await server.client.get(NODES)).status, (await server.client.post(NODES)).status] == [200, 500]
    assert server.carried_out == [f"GET {NODES}"]


async def test_an_expired_watch_is_told_so_in_the_stream(server: Server) -> None:
    with server.proxy.wrong(EXPIRED):
        answer = await server.client.get(f"{NODES}?watch=true")
        assert answer.status == 200
        event = await answer.json(content_type="application/json")
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_forgotten_write_is_carried_out(server: Server) -> None:
    with server.proxy.wrong(FORGETFUL), pytest.raises(aiohttp.ClientError):
        await server.client.patch(STATUS)
    assert server.carried_out == [f"PATCH {STATUS}"]


async def test_a_broken_connection_carries_out_nothing(server: Server) -> None:
    with server.proxy.wrong(BROKEN), pytest.raises(aiohttp.ClientError):
        await server.client.patch(STATUS)
    assert server.carried_out == []


async def test_a_watch_is_cut_in_the_middle(server: Server) -> None:
    answer = await server.client.get(f"{NODES}?watch=true")
    assert await answer.content.readline() == b'{"type": "ADDED"}\n'
    server.proxy.cut_watches()
    with pytest.raises(aiohttp.ClientError):
        await answer.content.readline()


async def test_nobody_reaches_a_server_that_is_away(server: Server) -> None:
    with server.proxy.away(), pytest.raises(aiohttp.ClientError):
        await server.client.get(NODES)
    assert (await server.client.get(NODES)).status == 200


async def test_a_write_is_told_of_before_its_answer(server: Server) -> None:
    told = []

    async def after_write(asked: Asked) -> None:
        told.append((asked.resource, list(server.carried_out)))

    server.proxy.after_write = after_write
    await server.client.get(NODES)
    await server.client.patch(STATUS)
    assert told == [("pacingpolicies/status", [f"GET {NODES}", f"PATCH {STATUS}"])]
