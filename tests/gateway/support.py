"""A gateway on real TCP, with a made-up hint service and a made-up model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
from aiohttp import web

from e2e.upstream import application as upstream_application
from tokenflow_api.codec import decode
from tokenflow_api.hints import Hint, PathState, Snapshot, Source
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.quota import AdmitReply, CommitReply, CommitRequest
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.telemetry import BatchReply, TelemetryBatch
from tokenflow_api.windows import StreamWindows
from tokenflow_gateway.api.gateway import Gateway
from tokenflow_gateway.server import Server, Settings

NEVER_S = 60.0
"""A limit that no test runs into."""


def hint(rate: float, *, batch: int = 1, delay_ms: int = 0) -> Hint:
    return Hint(
        tenant="gold",
        tokens_per_second=rate,
        batch_size=batch,
        batch_delay_ms=delay_ms,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
    )


async def eventually(holds: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    """Wait until something outside of this loop's control holds."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other programs
            await asyncio.sleep(0.01)


class HintService:
    """Streams what it is told to, as the hint service does.

    Attributes:
        reported: what gateways told of their streams.
        answers: to checks of quotas, in order; after the last it knows nothing of quotas.
        answering: whether it answers checks, or has them wait.
        commits: that it was told.
    """

    def __init__(self) -> None:
        self.reported = list[StreamWindows]()
        self.answers = list[AdmitReply]()
        self.answering = asyncio.Event()
        self.answering.set()
        self.commits = list[CommitRequest]()
        self._version = 0
        self._events: asyncio.Queue[str] = asyncio.Queue()

    def say(self, told: Hint) -> None:
        self._version += 1
        snapshot = Snapshot(
            term=1, version=self._version, generation=1, at_unix_ms=0, ttl_ms=60_000, health=1.0, hints=[told]
        )
        self._events.put_nowait(f"event: snapshot\ndata: {snapshot.model_dump_json()}\n\n")

    def configure(self, config: RuntimeConfig) -> None:
        self._events.put_nowait(f"event: config\ndata: {config.model_dump_json()}\n\n")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write((await self._events.get()).encode())

    async def admit(self, _: web.Request) -> web.Response:
        await self.answering.wait()
        if not self.answers:
            raise web.HTTPNotFound
        answer = self.answers.pop(0)
        if answer.admitted:
            return web.Response(text=answer.model_dump_json())
        problem = {"status": 429, "code": answer.refusal, "admission": answer.model_dump()}
        return web.json_response(problem, status=429)

    async def commit(self, request: web.Request) -> web.Response:
        self.commits.append(CommitRequest.model_validate_json(await request.text()))
        return web.Response(text=CommitReply(committed=True).model_dump_json())

    async def telemetry(self, request: web.Request) -> web.Response:
        batch = decode(await request.read(), TelemetryBatch)
        if batch.streams:
            self.reported.append(batch.streams)
        return web.Response(text=BatchReply(sequence=batch.sequence, received_at_unix_ms=0).model_dump_json())


@dataclass
class Setup:
    """A gateway with a made-up model behind it."""

    url: str
    hints: HintService
    gateway: Gateway
    client: openai.AsyncOpenAI

    async def told(self, said: Hint) -> None:
        """Say a hint and wait until the gateway goes by it."""
        self.hints.say(said)
        follower = self.gateway.follower
        await eventually(lambda: bool(follower.snapshot and follower.snapshot.hints == [said]))


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(
    directory: Path, *, upstream: str | None = None, tls: Path | None = None, **spec: object
) -> AsyncIterator[Setup]:
    """Run a gateway, whose hint service knows nothing of quotas unless it is told what to answer."""
    async with AsyncExitStack() as stack:
        hints = HintService()
        hint_app = web.Application()
        hint_app.router.add_get("/v1/hints/stream", hints.stream)
        hint_app.router.add_post("/v1/telemetry", hints.telemetry)
        hint_app.router.add_post("/v1/admit", hints.admit)
        hint_app.router.add_post("/v1/commit", hints.commit)
        hint_url = await stack.enter_async_context(served(hint_app))
        if upstream is None:
            upstream = await stack.enter_async_context(served(upstream_application(tokens_per_second=1000)))
        config = RuntimeConfig(
            namespace="default", name="demo", uid="u", generation=1, spec=_spec(upstream=upstream, **spec)
        )
        (directory / "runtime.json").write_text(config.model_dump_json())
        server = Server(_settings(directory, hint_url=hint_url, tls=tls))
        stop = asyncio.Event()
        serving = asyncio.create_task(server.run(stop))
        await eventually(lambda: server.gateway is not None or serving.done())
        try:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
            assert server.gateway
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
                yield Setup(url, hints, server.gateway, client)
        finally:
            stop.set()
            await serving


def _settings(directory: Path, *, hint_url: str, tls: Path | None) -> Settings:
    return Settings(
        pod_namespace="default",
        pod_name="gateway-0",
        runtime_file=directory / "runtime.json",
        hint_url=hint_url,
        token_file=directory / "token",
        tenants_directory=directory,
        upstreams_directory=directory,
        tls_directory=tls,
        host="127.0.0.1",
        port=0,
        metrics_port=0,
        announce_s=0.0,
    )


def _spec(*, upstream: str, **spec: object) -> PacingPolicySpec:
    base: dict[str, object] = {
        "tenants": [{"name": "gold", "maxConcurrentStreams": 2}],
        "gateway": {
            "replicas": 1,
            "upstreams": [{"name": "llama", "url": upstream, "models": ["llama-3"]}],
            "maxRequestSize": "64Ki",
        },
    }
    return PacingPolicySpec.model_validate(base | spec)
