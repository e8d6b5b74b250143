"""The windows' way to the hint service."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.gateway.support import eventually, served
from tokenflow_api.codec import CONTENT_TYPE, decode
from tokenflow_api.telemetry import BatchReply, Reporter, TelemetryBatch
from tokenflow_api.windows import StreamWindows
from tokenflow_gateway import metrics
from tokenflow_gateway.telling import reporter as module
from tokenflow_gateway.telling.reporter import StreamReporter

AHEAD_MS = 3_600_000
"""The service's clock is an hour ahead."""


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_S", 0.1)


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


def nothing(_: int) -> StreamWindows:
    return StreamWindows()


@asynccontextmanager
async def reporting(
    ingest: Ingest, observe: Callable[[int], StreamWindows] = nothing, *, bearer: str = "secret"
) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/v1/telemetry", ingest.post)
    async with served(app) as url:
        reporter = StreamReporter(url=url, node="gateway-0", token=lambda: bearer, observe=observe)
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


async def test_without_a_token_none_is_shown() -> None:
    ingest = Ingest()
    async with reporting(ingest, bearer=""):
        await eventually(lambda: bool(ingest.batches))
    assert "Authorization" not in ingest.headers[0]


async def test_the_services_clock_is_learned_from_its_replies() -> None:
    ingest = Ingest()
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 2)
    first, second = ingest.batches[:2]
    assert first.clock_error_ms is None
    assert second.clock_error_ms is not None
    assert abs(second.clock_offset_ms - AHEAD_MS) <= second.clock_error_ms


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_batch_is_sent_again_after_a_failure(status: int) -> None:
    ingest = Ingest(status)
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 3)
    assert [batch.sequence for batch in ingest.batches[:3]] == [1, 1, 2]


@pytest.mark.parametrize("status", [400, 403, 413, 422])
async def test_a_batch_that_is_refused_does_not_hold_up_the_next(status: int) -> None:
    ingest = Ingest(status)
    async with reporting(ingest):
        await eventually(lambda: len(ingest.batches) >= 2)
    assert [batch.sequence for batch in ingest.batches[:2]] == [1, 2]


async def test_the_window_that_is_not_over_is_delivered_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_S", 600.0)
    ingest = Ingest()
    async with reporting(ingest):
        await asyncio.sleep(0)
        assert ingest.batches == []
    assert [batch.sequence for batch in ingest.batches] == [1]


async def test_the_rate_of_each_tenant_is_told() -> None:
    def windows(start_unix_ms: int) -> StreamWindows:
        two = [1, 1]
        return StreamWindows(
            start_unix_ms=[start_unix_ms] * 2,
            tenant=["gold", "gold"],
            upstream=["llama", "llama"],
            destination_class=["192.0.2.0/24", "198.51.100.0/24"],
            service_port=[8000, 8000],
            pod_namespace=["default"] * 2,
            pod_name=["gateway-0"] * 2,
            active_streams=two,
            delivered_tokens=[30, 20],
            delivered_bytes=two,
            unsent_bytes=two,
            srtt_us=two,
            min_rtt_us=two,
            retransmits=two,
        )

    ingest = Ingest()
    async with reporting(ingest, windows):
        await eventually(lambda: bool(ingest.batches))
        rate = metrics.REGISTRY.get_sample_value("llm_client_token_rate", {"tenant": "gold"})
    assert rate is not None
    assert 0 < rate <= 50 / 0.1
