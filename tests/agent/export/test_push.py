"""What an OpenTelemetry collector gets."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.agent.export.tables import TRACE_ID, batch, findings
from tokenflow_agent.export.figures import Figures
from tokenflow_agent.export.model import Family, Labels, Point, counter, gauge
from tokenflow_agent.export.otlp import MAX_POINTS, document
from tokenflow_agent.export.push import Pusher
from tokenflow_agent.export.series import Node


class Collector:
    """An OTLP/HTTP receiver."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.got: list[tuple[str, str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        # The server undoes the compression that the headers tell of.
        body = json.loads(await request.read())
        self.got.append((request.content_type, request.headers["Content-Encoding"], body))
        return web.json_response({}, status=self.status)


@asynccontextmanager
async def collecting(collector: Collector) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 22)
    app.router.add_post("/v1/metrics", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def families() -> Iterator[Family]:
    found = findings()
    figures = Figures(Node(living=set))
    figures.show(batch(found), [found], gpu_interval_s=2)
    return figures.families()


def outcomes(pusher: Pusher) -> dict[str, float]:
    return {
        dict(point.labels.pairs())["outcome"]: point.value
        for metric, points in pusher.families()
        if metric.name == "tokenflow_agent_otlp_exports"
        for point in points
    }


async def test_a_push_is_an_export_request() -> None:
    collector = Collector()
    pusher = Pusher(families, resource={"service.name": "tokenflow-agent"})
    async with collecting(collector) as url:
        pusher.follow(url)
        await pusher.push()
        pusher.follow(None)
    ((content_type, encoding, body),) = collector.got
    assert (content_type, encoding) == ("application/json", "gzip")
    (resource,) = body["resourceMetrics"]
    assert resource["resource"] == {
        "attributes": [{"key": "service.name", "value": {"stringValue": "tokenflow-agent"}}]
    }
    (scope,) = resource["scopeMetrics"]
    metrics = {metric["name"]: metric for metric in scope["metrics"]}
    (rtt,) = metrics["network_rtt_us"]["gauge"]["dataPoints"]
    assert rtt["asDouble"] == 1.0
    assert {"key": "pod", "value": {"stringValue": "vllm-0"}} in rtt["attributes"]
    assert rtt["timeUnixNano"].isdigit()
    requests = metrics["http_requests"]["sum"]
    assert (requests["aggregationTemporality"], requests["isMonotonic"]) == (2, True)
    (point,) = requests["dataPoints"]
    assert point["asInt"] == "7"
    assert int(point["startTimeUnixNano"]) <= int(point["timeUnixNano"])
    assert point["exemplars"][0]["traceId"] == TRACE_ID
    assert outcomes(pusher) == {"Sent": 1}


@pytest.mark.parametrize("status", [400, 503])
async def test_a_refused_push_is_counted_with_its_reason(status: int) -> None:
    pusher = Pusher(families, resource={})
    async with collecting(Collector(status)) as url:
        pusher.follow(url)
        await pusher.push()
        pusher.follow(None)
    assert outcomes(pusher) == {f"HTTP{status}": 1}


async def test_a_collector_that_is_away_is_counted() -> None:
    pusher = Pusher(families, resource={})
    pusher.follow("http://127.0.0.1:1")
    await pusher.push()
    assert outcomes(pusher) == {"Connect": 1}


async def test_the_endpoint_is_followed_live() -> None:
    first, second = Collector(), Collector()
    pusher = Pusher(families, resource={})
    async with collecting(first) as one, collecting(second) as other:
        pusher.follow(one)
        await pusher.push()
        pusher.follow(other)
        await pusher.push()
        pusher.follow(None)
    assert (len(first.got), len(second.got)) == (1, 1)


def test_a_document_is_bounded_and_holds_any_name() -> None:
    points = [Point(Labels(("a",), ('x"\\\n\x00é',)), 1.5)] * (MAX_POINTS + 1)
    text = "".join(document([(counter("c", 'Says "so".'), points), (gauge("g", "G."), points)], resource={}, at_s=1))
    (scope,) = json.loads(text)["resourceMetrics"][0]["scopeMetrics"]
    (metric,) = scope["metrics"]
    assert metric["description"] == 'Says "so".'
    assert len(metric["sum"]["dataPoints"]) == MAX_POINTS
    assert metric["sum"]["dataPoints"][0]["attributes"][0]["value"]["stringValue"] == 'x"\\\n\x00é'
