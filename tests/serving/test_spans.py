"""Spans: which are kept, what they say, and what happens when there are too many."""

import pytest

from tokenflow_api.serving import trace
from tokenflow_api.serving.spans import MOST_WAITING, Kind, Spans
from tokenflow_api.serving.trace import Trace

SAMPLED = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
UNSAMPLED = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=False)


def answered(spans: Spans, of: Trace, *, status: int = 200) -> None:
    spans.answered(of, method="GET", route="/v1/hints/{tenant}", status=status, took_s=0.5)


class Dropped:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def dropped() -> Dropped:
    return Dropped()


@pytest.fixture
def spans(dropped: Dropped) -> Spans:
    kept = Spans(dropped=dropped)
    kept.wanted = True
    return kept


def test_a_request_is_told_by_the_names_of_the_http_conventions(spans: Spans) -> None:
    answered(spans, SAMPLED)
    (span,) = spans.take()
    assert span.name == "GET /v1/hints/{tenant}"
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/hints/{tenant}",
        "http.response.status_code": 200,
    }
    assert (span.kind, span.failed) == (Kind.SERVER, False)
    assert span.ended_unix_ns - span.began_unix_ns == 500_000_000
    assert spans.take() == []


def test_only_our_own_faults_count_as_failures(spans: Spans) -> None:
    answered(spans, SAMPLED, status=429)
    answered(spans, SAMPLED, status=503)
    refused, failed = spans.take()
    assert (refused.failed, failed.failed) == (False, True)
    assert failed.attributes["error.type"] == "503"


def test_the_caller_decides_whether_its_trace_is_recorded(spans: Spans) -> None:
    answered(spans, UNSAMPLED)
    assert len(spans) == 0


def test_nothing_is_kept_while_nobody_exports(dropped: Dropped) -> None:
    spans = Spans(dropped=dropped)
    answered(spans, SAMPLED)
    assert len(spans) == 0


def test_beyond_the_bound_spans_are_dropped_and_counted(spans: Spans, dropped: Dropped) -> None:
    for _ in range(MOST_WAITING + 3):
        answered(spans, SAMPLED)
    assert len(spans) == MOST_WAITING
    assert dropped.count == 3


def test_work_of_our_own_is_a_trace_of_its_own(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "getrandbits", lambda _: 10)
    with spans.work("leader round", {"tokenflow.term": 7}):
        inside = trace.trace_id()
    with pytest.raises(ValueError, match="round"), spans.work("leader round", {"tokenflow.term": 8}):
        raise ValueError("round")
    good, bad = spans.take()
    assert good.trace.trace_id == inside == f"{10:032x}"
    assert (good.failed, bad.failed) == (False, True)
    assert good.attributes == {"tokenflow.term": 7}


def test_one_trace_in_ten_that_begins_here_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(range(1, 101))
    monkeypatch.setattr(trace, "getrandbits", lambda _: next(drawn))
    assert sum(trace.begin().sampled for _ in range(100)) == 10
