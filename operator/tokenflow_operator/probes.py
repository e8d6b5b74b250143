"""HTTP endpoints of the operator itself: probes and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tokenflow_operator.election import Leadership
from tokenflow_operator.heartbeat import Heartbeat


@asynccontextmanager
async def probes(heartbeat: Heartbeat, leadership: Leadership, *, port: int) -> AsyncIterator[None]:
    """Serve ``/healthz`` (passes end) and ``/readyz`` (the resources can be listed; it says who leads)."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(well=heartbeat.alive)

    async def readyz(_: web.Request) -> web.Response:
        return _answer(well=heartbeat.ready, leading=leadership.leading.is_set(), leader=leadership.leader)

    async with _serving([web.get("/healthz", healthz), web.get("/readyz", readyz)], port=port):
        yield


def _answer(*, well: bool, **details: bool | str) -> web.Response:
    return web.json_response({"ok": well, **details}, status=200 if well else 503)


@asynccontextmanager
async def exporter(*, port: int) -> AsyncIterator[None]:
    """Serve ``/metrics``."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async with _serving([web.get("/metrics", metrics)], port=port):
        yield


@asynccontextmanager
async def _serving(routes: list[web.RouteDef], *, port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
