"""No write without the gate's leave, and none for longer than it gives."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from tokenflow_operator.errors import NotLeadingError, UnavailableError
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.kinds import CONFIG_MAP

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}
WRITES: dict[str, Callable[[Kube], Awaitable[object]]] = {
    "apply": lambda kube: kube.apply(CONFIG_MAP, CONFIG),
    "create": lambda kube: kube.create(CONFIG_MAP, CONFIG),
    "replace": lambda kube: kube.replace(CONFIG_MAP, CONFIG),
    "delete": lambda kube: kube.delete(CONFIG_MAP, namespace="n", name="a", uid="u"),
}


def closed() -> float:
    raise NotLeadingError("another one leads")


async def through(gate: Callable[[], float], use: Callable[[Kube], Awaitable[object]], *, slow: bool = False) -> int:
    """Return how many requests arrived."""
    arrived = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if slow:
            await asyncio.sleep(30)
        return web.json_response(CONFIG)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        configuration = Configuration(host=str(server.make_url("")).rstrip("/"))
        async with ApiClient(configuration) as client:
            try:
                await use(Kube(client, gate=gate))
            except NotLeadingError:
                assert arrived == 0
                raise
    return arrived


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_no_write_passes_a_closed_gate(write: Callable[[Kube], Awaitable[object]]) -> None:
    with pytest.raises(NotLeadingError):
        await through(closed, write)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_every_write_ends_when_the_gates_time_is_over(write: Callable[[Kube], Awaitable[object]]) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        await through(lambda: 0.1, write, slow=True)
    assert time.monotonic() - began < 10


async def test_reads_ask_no_gate() -> None:
    assert await through(closed, lambda kube: kube.get(CONFIG_MAP, namespace="n", name="a")) == 1
