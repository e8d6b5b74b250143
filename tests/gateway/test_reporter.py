import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.gateway.support import eventually, served
from tokenflow_api.codec import CONTENT_TYPE, decode
from tokenflow_api.telemetry import BatchReply, Reporter, TelemetryBatch
from tokenflow_api.windows import StreamWindows
from tokenflow_gateway.reporter import StreamReporter

AHEAD_MS = 3_600_000
"""The service's clock is an hour ahead."""


class Ingest:
    """Answers each batch with the next status, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.batches: list[TelemetryBatch] = []
        self.headers: list[dict[str, str]] = []

    async def post(self, request: web.Request) -> web.Response:
        batch = decode(await request.read(), TelemetryBatch)
        self.batches.append(batch)
        self.headers.append(dict(request.headers))
        reply = BatchReply(sequence=batch.sequence, received_at_unix_ms=time.time_ns() // 1_000_000 + AHEAD_MS)
        return web.json_response(text=reply.model_dump_json(), status=self._statuses.pop(0) if self._statuses else 200)


@asynccontextmanager
async def reporting(ingest: Ingest) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/v1/telemetry", ingest.post)
    async with served(app) as url:
        reporter = StreamReporter(url=url, node="gateway-0", token=lambda: "secret", observe=lambda _: StreamWindows())
        task = asyncio.create_task(reporter.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_batches_are_numbered_and_carry_the_token() -> None:
    ingest = Ingest()
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 2)
    first, second = ingest.batches[:2]
    assert (first.sequence, second.sequence, first.boot_id == second.boot_id) == (1, 2, True)
    assert (first.reporter, first.node) == (Reporter.GATEWAY, "gateway-0")
    assert ingest.headers[0]["Authorization"] == "Bearer secret"
    assert ingest.headers[0]["Content-Type"] == CONTENT_TYPE


async def test_the_services_clock_is_learned_from_its_replies() -> None:
    ingest = Ingest()
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 2)
    first, second = ingest.batches[:2]
    assert first.clock_error_ms is None
    assert second.clock_error_ms is not None
    assert abs(second.clock_offset_ms - AHEAD_MS) <= second.clock_error_ms


async def test_a_batch_is_sent_again_after_a_failure() -> None:
    ingest = Ingest(503)
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 3)
    assert [batch.sequence for batch in ingest.batches[:3]] == [1, 1, 2]


async def test_a_batch_that_is_refused_does_not_hold_up_the_next() -> None:
    ingest = Ingest(400)
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 2)
    assert [batch.sequence for batch in ingest.batches[:2]] == [1, 2]
