"""An OpenTelemetry collector for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """An OpenTelemetry collector that keeps what it gets."""

    status: int = 200
    spans: ExportTraceServiceRequest = field(default_factory=ExportTraceServiceRequest)
    figures: ExportMetricsServiceRequest = field(default_factory=ExportMetricsServiceRequest)
    asked: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        kept: Any = self.spans if request.path == "/v1/traces" else self.figures
        kept.MergeFromString(await request.read())
        self.asked.put_nowait(request.path)
        return web.Response(status=self.status)

    async def was_asked(self, path: str) -> None:
        async with asyncio.timeout(60):
            while await self.asked.get() != path:
                continue


@asynccontextmanager
async def collector(*, status: int = 200) -> AsyncIterator[tuple[Collector, str]]:
    taking = Collector(status=status)
    app = web.Application()
    app.router.add_post("/{path:.*}", taking.take)
    async with TestServer(app) as server:
        yield taking, str(server.make_url("")).rstrip("/")
