"""What a collector is told of a request."""

import asyncio
import json

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.gateway.identity.support import config
from tests.serving.collector import collector
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.export import Exporter
from tokenflow_api.serving.trace import Trace
from tokenflow_gateway import metrics
from tokenflow_gateway.identity.bounds import asked
from tokenflow_gateway.identity.kinds import Kind
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.stream.usage import Usage
from tokenflow_gateway.telling.figures import SPANS, exported
from tokenflow_gateway.telling.tellings import Tellings

CALLER = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
BODY = {"model": "exported", "stream": True, "messages": [{"role": "user", "content": "a secret"}]}


def exporting_to(endpoint: str) -> RuntimeConfig:
    policy = config()
    observability = policy.spec.observability.model_copy(update={"otlp_endpoint": endpoint})
    return policy.model_copy(update={"spec": policy.spec.model_copy(update={"observability": observability})})


async def test_the_conventions_spans_and_metrics_arrive() -> None:
    exporter = Exporter(
        SPANS,
        collect=exported,
        figures=metrics.SERVING,
        service="tokenflow-gateway",
        name="gateway-0",
        period_s=0.05,
    )
    async with collector() as (taking, endpoint):
        policy = exporting_to(endpoint)
        exporter.follow(policy)
        running = asyncio.create_task(exporter.run())
        telling = Tellings(policy, clock=lambda: 12.0).begin(
            policy.spec.tenants[0], asked(json.dumps(BODY).encode(), Kind.CHAT), CALLER, received_at=10.0
        )
        telling.attempted("llama", tries=1, queued_s=0.0)
        telling.progress.sent(1, 100, 10.5)
        telling.progress.sent(4, 100, 11.3)
        telling.end(status=200, usage=Usage(input_tokens=7, output_tokens=5, measured=True), why=Why.COMPLETE)
        await taking.was_asked("/v1/traces")
        await taking.was_asked("/v1/metrics")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    inner, outer = taking.spans.resource_spans[0].scope_spans[0].spans
    assert (inner.name, inner.kind) == ("chat exported", Span.SPAN_KIND_CLIENT)
    assert (outer.name, outer.kind) == ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER)
    assert inner.parent_span_id == outer.span_id
    assert outer.parent_span_id.hex() == "00f067aa0ba902b7"
    told = {metric.name: metric for metric in taking.figures.resource_metrics[-1].scope_metrics[0].metrics}
    assert told["gen_ai.server.time_to_first_token"].unit == "s"
    (point,) = [
        point
        for point in told["gen_ai.server.time_per_output_token"].histogram.data_points
        if any(attribute.value.string_value == "exported" for attribute in point.attributes)
    ]
    assert (point.count, point.sum) == (1, pytest.approx(0.2))
    assert told["gen_ai.client.token.usage"].unit == "{token}"
    assert "tokenflow_gateway_tokens" in told
    assert "secret" not in repr(taking.spans)
