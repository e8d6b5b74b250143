"""What is told of a request: to its tenant's figures, to its model's, and as spans."""

import json
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest

from tests.gateway.identity.support import config
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.serving.spans import Kind as SpanKind
from tokenflow_api.serving.trace import Trace
from tokenflow_gateway.identity.bounds import Asked, asked
from tokenflow_gateway.identity.kinds import Kind
from tokenflow_gateway.metrics import REGISTRY
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.stream.usage import Usage
from tokenflow_gateway.telling.figures import SPANS, exported
from tokenflow_gateway.telling.tellings import Telling, Tellings

CALLER = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
USAGE = Usage(input_tokens=100, output_tokens=40, measured=True)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tellings(clock: Clock) -> Tellings:
    return Tellings(config(), clock=clock)


@pytest.fixture
def spans() -> Iterator[None]:
    SPANS.take()
    SPANS.wanted = True
    yield
    SPANS.wanted = False
    SPANS.take()


def tenant(name: str) -> Tenant:
    price = {"currency": "USD", "inputMicrosPerMillionTokens": 500_000, "outputMicrosPerMillionTokens": 1_500_000}
    return Tenant.model_validate({"name": name, "price": price})


def chat(*, model: str = "llama-3", stream: bool = True) -> Asked:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "a secret"}], "max_tokens": 64}
    return asked(json.dumps(body).encode(), Kind.CHAT)


def told(tellings: Tellings, name: str, clock: Clock, *, asked: Asked | None = None, of: Trace = CALLER) -> Telling:
    return tellings.begin(tenant(name), asked or chat(), of, received_at=clock.now)


def figure(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tokenflow_gateway_{name}", labels)


def test_a_stream_is_told_to_its_tenant(tellings: Tellings, clock: Clock) -> None:
    telling = told(tellings, "stream", clock)
    telling.attempted("llama", tries=2, queued_s=0.2)
    assert figure("streams", tenant="stream") == 1
    for _ in range(10):
        clock.now += 0.1
        telling.progress.sent(4, 200, clock.now)
    telling.end(status=200, usage=USAGE, why=Why.COMPLETE)
    telling.left()
    assert figure("streams", tenant="stream") == 0
    assert figure("requests_total", tenant="stream", route="/v1/chat/completions", status="200") == 1
    assert figure("time_to_first_token_seconds_sum", tenant="stream") == pytest.approx(0.1)
    assert figure("event_gap_seconds_count", tenant="stream") == 9
    assert figure("event_gap_seconds_bucket", tenant="stream", le="0.15") == 9
    assert figure("tokens_total", tenant="stream") == 40
    assert figure("stream_bytes_total", tenant="stream") == 2000
    assert figure("tenant_queue_seconds_sum", tenant="stream") == pytest.approx(0.2)
    assert figure("usage_tokens_total", tenant="stream", direction="input") == 100
    assert figure("usage_tokens_total", tenant="stream", direction="output") == 40
    assert figure("cost_micros_total", tenant="stream", currency="USD") == 110
    assert figure("streams_judged_total", tenant="stream", verdict="Met") == 1
    assert figure("quality_of_experience_count", tenant="stream") == 1
    assert figure("cancelled_total", tenant="stream") == 0


def test_a_reader_that_leaves_is_told_once_and_judged_by_nobody(tellings: Tellings, clock: Clock) -> None:
    telling = told(tellings, "leaver", clock)
    telling.attempted("llama", tries=1, queued_s=0.0)
    telling.left()
    assert figure("requests_total", tenant="leaver", route="/v1/chat/completions", status="499") == 1
    assert figure("cancelled_total", tenant="leaver") == 1
    assert figure("streams_judged_total", tenant="leaver", verdict="Left") == 1
    assert figure("streams", tenant="leaver") == 0


def test_an_answer_in_one_piece_is_no_stream(tellings: Tellings, clock: Clock) -> None:
    telling = told(tellings, "whole", clock, asked=chat(stream=False))
    telling.attempted("llama", tries=1, queued_s=0.0)
    assert figure("streams", tenant="whole") == 0
    telling.end(status=200, usage=USAGE)
    assert figure("requests_total", tenant="whole", route="/v1/chat/completions", status="200") == 1
    assert figure("streams_judged_total", tenant="whole", verdict="Met") is None


def test_fractions_of_a_micro_add_up(tellings: Tellings, clock: Clock) -> None:
    for _ in range(1000):
        telling = told(tellings, "small", clock, asked=chat(stream=False))
        telling.end(status=200, usage=Usage(input_tokens=1, output_tokens=0, measured=True))
    assert figure("cost_micros_total", tenant="small", currency="USD") == 500


def test_requests_without_a_tenant_or_a_model_are_counted(tellings: Tellings) -> None:
    tellings.refused("/v1/embeddings", 401)
    tellings.answered(tenant("lister"), "/v1/models", 200)
    assert figure("requests_total", tenant="~denied", route="/v1/embeddings", status="401") == 1
    assert figure("requests_total", tenant="lister", route="/v1/models", status="200") == 1


def test_tenants_beyond_the_bound_are_put_together(tellings: Tellings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_gateway.telling.audience.MAX_TENANTS", 0)
    for name in ("one-too-many", "two-too-many"):
        tellings.answered(tenant(name), "/v1/models", 201)
    assert figure("requests_total", tenant="~other", route="/v1/models", status="201") == 2
    assert figure("requests_total", tenant="one-too-many", route="/v1/models", status="201") is None


def genai(name: str, **labels: str) -> list[float]:
    return [
        sample.value
        for family in exported()
        for sample in family.samples
        if sample.name == f"gen_ai.{name}" and labels.items() <= sample.labels.items()
    ]


def models() -> set[str]:
    return {
        sample.labels["gen_ai.request.model"]
        for family in exported()
        if family.name.startswith("gen_ai.")
        for sample in family.samples
    }


def test_opentelemetrys_metrics_are_told_to_the_collector_alone(tellings: Tellings, clock: Clock) -> None:
    telling = told(tellings, "otel", clock, asked=chat(model="counted"))
    telling.attempted("llama", tries=1, queued_s=0.0)
    for _ in range(5):
        clock.now += 0.2
        telling.progress.sent(1, 50, clock.now)
    telling.end(status=200, usage=USAGE, why=Why.COMPLETE)
    of = {"gen_ai.request.model": "counted", "gen_ai.operation.name": "chat"}
    assert genai("server.request.duration_sum", **of) == [pytest.approx(1.0)]
    assert genai("server.time_to_first_token_sum", **of) == [pytest.approx(0.2)]
    assert genai("server.time_per_output_token_sum", **of) == [pytest.approx(0.2)]
    assert genai("client.token.usage_sum", **of, **{"gen_ai.token.type": "input"}) == [100]
    assert genai("client.token.usage_sum", **of, **{"gen_ai.token.type": "output"}) == [40]
    assert b"gen_ai" not in generate_latest(REGISTRY)
    units = {family.name: family.unit for family in exported() if family.name.startswith("gen_ai.")}
    assert units == {
        "gen_ai.server.request.duration": "s",
        "gen_ai.server.time_to_first_token": "s",
        "gen_ai.server.time_per_output_token": "s",
        "gen_ai.client.token.usage": "{token}",
    }


def test_models_beyond_the_bound_are_put_together(tellings: Tellings, clock: Clock) -> None:
    for number in range(200):
        telling = told(tellings, "many", clock, asked=chat(model=f"model-{number}", stream=False))
        telling.attempted("llama", tries=1, queued_s=0.0)
        telling.end(status=200)
    assert "~other" in models()
    assert len(models()) <= 65


def test_a_name_that_no_upstream_knows_is_no_model(tellings: Tellings, clock: Clock) -> None:
    told(tellings, "guesser", clock, asked=chat(model="made-up")).end(status=404, code="model_not_found")
    assert "made-up" not in models()


@pytest.mark.usefixtures("spans")
def test_a_request_is_two_spans_of_its_callers_trace(tellings: Tellings, clock: Clock) -> None:
    telling = told(tellings, "traced", clock)
    traceparent = telling.traceparent
    telling.attempted("llama", tries=1, queued_s=0.0)
    clock.now += 1.0
    telling.progress.sent(3, 90, clock.now)
    telling.end(status=200, usage=USAGE, why=Why.COMPLETE)
    inner, outer = SPANS.take()
    assert (outer.name, outer.kind, outer.trace.parent_id) == (
        "POST /v1/chat/completions",
        SpanKind.SERVER,
        "00f067aa0ba902b7",
    )
    assert (inner.name, inner.kind, inner.trace.parent_id) == ("chat llama-3", SpanKind.CLIENT, outer.span_id)
    assert traceparent == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{inner.span_id}-01"
    assert inner.ended_unix_ns - inner.began_unix_ns == 1_000_000_000
    assert inner.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "llama-3",
        "gen_ai.request.choice.count": 1,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 40,
        "tokenflow.tenant": "traced",
        "tokenflow.upstream": "llama",
        "tokenflow.tries": 1,
        "tokenflow.queued_seconds": 0.0,
        "tokenflow.time_to_first_token_seconds": 1.0,
        "tokenflow.stalls": 0,
        "tokenflow.stalled_seconds": 0.0,
        "tokenflow.quality_of_experience": 1.0,
    }
    assert "secret" not in repr((inner, outer))


@pytest.mark.usefixtures("spans")
def test_what_failed_says_by_which_code(tellings: Tellings, clock: Clock) -> None:
    told(tellings, "failed", clock).end(status=502, code="upstream_unreachable")
    inner, outer = SPANS.take()
    assert (inner.failed, inner.attributes["error.type"], outer.failed) == (True, "upstream_unreachable", True)


@pytest.mark.usefixtures("spans")
def test_what_the_caller_does_not_sample_is_passed_on_so(tellings: Tellings, clock: Clock) -> None:
    telling = told(tellings, "unsampled", clock, of=Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"))
    assert telling.traceparent.endswith("-00")
    telling.end(status=200)
    assert SPANS.take() == []
