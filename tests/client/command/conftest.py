"""The scripted engine and a hint service, in a thread of their own, for commands that run as people run them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from e2e.upstream.scripted import Engine
from tests.client.command.support import Running
from tokenflow_api.hints import Hint, HintReply, PathState, Snapshot, Source
from tokenflow_api.modes import Mode

HINT = Hint(
    tenant="gold",
    tokens_per_second=18.5,
    batch_size=4,
    batch_delay_ms=100,
    health=0.75,
    state=PathState.CONGESTED,
    source=Source.LIVE,
    mode=Mode.ENFORCE,
    reasons=["RTTInflation"],
)
OTHER = HINT.model_copy(update={"tenant": "silver", "tokens_per_second": 7.0})


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for version in range(1, 1000):
        snapshot = Snapshot(
            term=1, version=version, generation=1, at_unix_ms=0, ttl_ms=60_000, health=0.75, hints=[OTHER, HINT]
        )
        await response.write(f"event: snapshot\ndata: {snapshot.model_dump_json(by_alias=True)}\n\n".encode())
        await asyncio.sleep(0.05)
    return response


async def _hint(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != "Bearer tf-key":
        problem = {"detail": "no credential was shown:", "remedy": "send an API key"}
        return web.json_response(problem, status=401, content_type="application/problem+json")
    reply = HintReply(hint=HINT, generation=1, version=1, at_unix_ms=0, ttl_ms=1000)
    return web.json_response(text=reply.model_dump_json(by_alias=True))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the command, once in a test."""
    running: list[Running] = []

    def start(*arguments: str) -> Running:
        running.append(Running(*arguments, directory=tmp_path))
        return running[0]

    yield start
    for each in running:
        each.close()


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine(tokens_per_second=100)


@pytest.fixture(scope="session")
def url(engine: Engine) -> Iterator[str]:
    """One address for the engine and the hint service."""
    app = engine.application()
    app.router.add_get("/v1/hints/stream", _stream)
    app.router.add_get("/v1/hints/{tenant}", _hint)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    wait(runner.setup())
    wait(web.TCPSite(runner, "127.0.0.1", 0).start())
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    wait(runner.cleanup())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
