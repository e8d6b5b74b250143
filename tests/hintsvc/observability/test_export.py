"""The export over OTLP, to a collector that takes it, one that refuses and none at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tests.hintsvc.support import runtime
from tests.serving.collector import collector
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.export import PERIOD_S, Exporter
from tokenflow_api.serving.otlp import OtlpClient, metrics_data
from tokenflow_api.serving.spans import Spans
from tokenflow_api.serving.trace import Trace
from tokenflow_hintsvc import metrics

SAMPLED = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


def config(endpoint: str | None) -> RuntimeConfig:
    return runtime(observability={"otlpEndpoint": endpoint})


def waiting() -> Spans:
    return Spans(dropped=metrics.SERVING.spans_dropped.inc)


def exporter_of(spans: Spans, *, period_s: float = PERIOD_S) -> Exporter:
    return Exporter(
        spans,
        collect=metrics.REGISTRY.collect,
        figures=metrics.SERVING,
        service="tokenflow-hintsvc",
        name="demo-0",
        period_s=period_s,
    )


@asynccontextmanager
async def exporting(spans: Spans, endpoint: str | None) -> AsyncIterator[Exporter]:
    exporter = exporter_of(spans, period_s=0.05)
    exporter.follow(config(endpoint))
    running = asyncio.create_task(exporter.run())
    yield exporter
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_spans_and_figures_arrive_with_who_sent_them() -> None:
    spans = waiting()
    async with collector() as (taking, endpoint), exporting(spans, endpoint):
        await taking.was_asked("/v1/metrics")
        spans.answered(SAMPLED, method="GET", route="/v1/health", status=200, took_s=0.001)
        await taking.was_asked("/v1/traces")
        await taking.was_asked("/v1/metrics")
    (of_resource,) = taking.spans.resource_spans
    resource = {entry.key: entry.value.string_value for entry in of_resource.resource.attributes}
    assert resource["service.name"] == "tokenflow-hintsvc"
    assert resource["service.instance.id"] == "demo-0"
    assert resource["tokenflow.policy"] == "demo"
    (span,) = of_resource.scope_spans[0].spans
    assert span.name == "GET /v1/health"
    assert span.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    names = {metric.name for metric in taking.figures.resource_metrics[0].scope_metrics[0].metrics}
    assert {"hint_server_request_count", "hint_server_latency_ms", "otlp_export_duration_seconds"} <= names
    assert metrics.REGISTRY.get_sample_value("otlp_export_duration_seconds", {"signal": "traces"})


async def test_a_collector_that_refuses_is_counted() -> None:
    labels = {"signal": "metrics", "outcome": "failed"}
    before = metrics.REGISTRY.get_sample_value("tokenflow_otlp_exports_total", labels) or 0
    async with (
        collector(status=400) as (taking, endpoint),
        exporting(waiting(), endpoint),
    ):
        await taking.was_asked("/v1/metrics")
        await taking.was_asked("/v1/metrics")
    assert (metrics.REGISTRY.get_sample_value("tokenflow_otlp_exports_total", labels) or 0) > before


async def test_a_fault_of_the_exporter_is_counted_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise KeyError("_sum")

    spans = waiting()
    async with collector() as (taking, endpoint):
        with monkeypatch.context() as patched:
            patched.setattr(OtlpClient, "send_figures", fail)
            exporter = exporter_of(spans)
            exporter.follow(config(endpoint))
            running = asyncio.create_task(exporter.run())
            spans.answered(SAMPLED, method="GET", route="/v1/health", status=200, took_s=0.001)
            await taking.was_asked("/v1/traces")
        exporter.follow(config(endpoint + "/"))
        await taking.was_asked("/v1/metrics")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_it_ends_when_the_policy_no_longer_asks_for_it() -> None:
    spans = waiting()
    async with collector() as (taking, endpoint), exporting(spans, endpoint) as exporter:
        await taking.was_asked("/v1/metrics")
        assert spans.wanted
        exporter.follow(config(None))
        spans.answered(SAMPLED, method="GET", route="/v1/health", status=200, took_s=0.001)
        assert len(spans) == 0


def collected(registry: CollectorRegistry) -> dict[str, Any]:
    data = metrics_data(registry.collect(), resource=Resource({}), scope=InstrumentationScope("test"), at_ns=1)
    return {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}


def test_figures_keep_their_names_units_and_labels() -> None:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ["route"], registry=registry).labels("/a").inc(3)
    Gauge("age_seconds", "Age.", registry=registry).set(1.5)
    figures = collected(registry)
    (point,) = figures["requests"].data.data_points
    assert (point.value, point.attributes) == (3, {"route": "/a"})
    assert figures["requests"].data.is_monotonic
    assert figures["age_seconds"].unit == "s"
    assert figures["age_seconds"].data.data_points[0].value == 1.5


def test_buckets_hold_what_is_between_their_bounds() -> None:
    registry = CollectorRegistry()
    latency = Histogram("latency_ms", "Latency.", ["route"], buckets=(1, 5), registry=registry)
    for value in (0.5, 2, 3, 9):
        latency.labels("/a").observe(value)
    (point,) = collected(registry)["latency_ms"].data.data_points
    assert (point.count, point.sum) == (4, 14.5)
    assert list(point.explicit_bounds) == [1, 5]
    assert list(point.bucket_counts) == [1, 2, 1]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
async def test_an_endpoint_that_is_not_there_holds_nothing_up(endpoint: str) -> None:
    async with exporting(waiting(), endpoint) as exporter:
        exporter.follow(config(None))
