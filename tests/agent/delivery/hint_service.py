"""A hint service that takes batches, when it is well."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tokenflow_api.codec import decode
from tokenflow_api.telemetry import AgentConfig, BatchReply, Reporter, TelemetryBatch

Handler = Callable[[web.Request], Awaitable[web.Response]]

RECEIVED_AT = 1_700_000_000_000


def batch(sequence: int, *, boot_id: str = "b") -> TelemetryBatch:
    return TelemetryBatch(
        reporter=Reporter.AGENT, agent="d/nodes", node="n1", boot_id=boot_id, sequence=sequence, sent_at_unix_ms=1
    )


@dataclass
class HintService:
    """Takes what comes, or answers ``answers`` first."""

    got: list[tuple[str, int]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    away: bool = False
    tokens: set[str] = field(default_factory=set)
    config: AgentConfig | None = None

    @property
    def sequences(self) -> list[int]:
        return [sequence for _, sequence in self.got]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.away:
            return web.Response(status=503, text="later")
        if self.answers:
            return self.answers.pop(0)
        self.tokens.add(request.headers.get("Authorization", ""))
        received = decode(body, TelemetryBatch)
        self.got.append((received.boot_id, received.sequence))
        reply = BatchReply(sequence=received.sequence, received_at_unix_ms=RECEIVED_AT, config=self.config)
        return web.json_response(text=reply.model_dump_json())


@asynccontextmanager
async def serving(service: HintService, *others: tuple[str, Handler]) -> AsyncIterator[str]:
    """Yield the base address of the service, which takes other things at other paths, too."""
    app = web.Application()
    for path, take in [("/v1/telemetry", service.take), *others]:
        app.router.add_post(path, take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
