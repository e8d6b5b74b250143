"""What a stream is like for its reader, against the measures that clients take of whole streams."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokenflow_api.pacing_policy import Objectives
from tokenflow_client._command.measures import Arrival, gaps, on_time, quality, stalls
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.telling.progress import Progress
from tokenflow_gateway.telling.promise import Promise, Verdict
from tokenflow_gateway.telling.readers import Readers

RECEIVED_AT = 1000.0
PROMISE = Promise(first_token_s=1.0, tokens_per_second=10.0)

WRITES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 20)), max_size=40)
"""Milliseconds after the one before, and tokens."""


def arrivals(writes: list[tuple[int, int]]) -> list[Arrival]:
    at_ms, told = 0, []
    for gap_ms, tokens in writes:
        at_ms += gap_ms
        told.append(Arrival(RECEIVED_AT + at_ms / 1000, tokens, 100))
    return told


def watched(told: list[Arrival], promise: Promise = PROMISE, readers: Readers | None = None) -> Progress:
    progress = Progress(readers or Readers(), received_at=RECEIVED_AT, promise=promise)
    for at_s, tokens, size in told:
        progress.sent(tokens, size, at_s)
    return progress


def on_schedule(count: int, *, first_s: float = 1.0) -> list[Arrival]:
    return [Arrival(RECEIVED_AT + first_s + number / 10, 1, 100) for number in range(count)]


def test_the_promise_is_the_policys() -> None:
    objectives = Objectives.model_validate({"firstToken": "1500ms", "tokensPerSecond": 20})
    assert Promise.of(objectives) == Promise(first_token_s=1.5, tokens_per_second=20.0)


@given(WRITES, st.sampled_from([1.0, 10.0, 33.0]))
def test_running_sums_say_what_the_whole_stream_says(writes: list[tuple[int, int]], rate: float) -> None:
    told = arrivals(writes)
    readers = Readers()
    progress = watched(told, Promise(first_token_s=1.0, tokens_per_second=rate), readers)
    expected = stalls(told, rate=rate)
    assert progress.tokens == sum(arrival.tokens for arrival in told)
    assert progress.stalls == pytest.approx(expected.count, abs=_at_the_edge(told, rate))
    assert progress.waited_s == pytest.approx(expected.waited_s, abs=1e-6)
    assert progress.late == pytest.approx(progress.tokens - on_time(told, rate=rate), abs=_at_the_edge(told, rate))
    assert progress.quality == pytest.approx(quality(told, start_s=RECEIVED_AT, rate=rate, first_token_s=1.0), abs=1e-6)
    assert sum(readers.gaps.counts) == len(gaps(told))


def _at_the_edge(told: list[Arrival], rate: float) -> int:
    """Return how many counts may differ by rounding: writes that come just when a limit is reached."""
    times = [at_s for at_s, tokens, _ in told if tokens]
    if not times:
        return 0
    steps = [(at_s - times[0]) * rate for at_s in times] + [(at_s - times[0] - 0.1) * rate for at_s in times]
    return sum(abs(step - round(step)) < 1e-6 for step in steps) * 20


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 20)), min_size=1, max_size=40))
def test_a_stream_that_is_early_or_on_time_is_perfect(early: list[tuple[int, int]]) -> None:
    number, told, latest = 0, [], RECEIVED_AT
    for early_ms, tokens in early:
        latest = max(latest, RECEIVED_AT + 1.0 + number / 10 - early_ms / 1000)
        told.append(Arrival(latest, tokens, 100))
        number += tokens
    assert watched(told).quality == 1.0


@given(WRITES)
def test_quality_is_a_share(writes: list[tuple[int, int]]) -> None:
    assert 0.0 <= watched(arrivals(writes)).quality <= 1.0


@given(WRITES, st.integers(1, 10_000))
def test_a_stream_that_comes_later_as_a_whole_is_no_better(writes: list[tuple[int, int]], delay_ms: int) -> None:
    told = arrivals(writes)
    later = [Arrival(at_s + delay_ms / 1000, tokens, size) for at_s, tokens, size in told]
    assert watched(later).quality <= watched(told).quality + 1e-9


@given(WRITES, st.data())
def test_tokens_that_come_late_are_never_fewer_for_holding_one_back(
    writes: list[tuple[int, int]], data: st.DataObject
) -> None:
    told = arrivals(writes)
    assume(sum(arrival.tokens > 0 for arrival in told) > 1)
    first = next(place for place, arrival in enumerate(told) if arrival.tokens)
    held = data.draw(st.integers(first + 1, len(told) - 1)) if first + 1 < len(told) else len(told)
    delay_s = data.draw(st.integers(0, 3000)) / 1000
    later = [
        arrival._replace(at_s=arrival.at_s + delay_s) if place >= held else arrival
        for place, arrival in enumerate(told)
    ]
    assert watched(later).late >= watched(told).late


def test_a_stall_is_counted_while_the_stream_runs() -> None:
    readers = Readers()
    progress = watched(on_schedule(5), readers=readers)
    progress.sent(1, 100, RECEIVED_AT + 1.0 + 0.5 + 2.0)
    assert (readers.stalls, readers.tokens, readers.bytes) == (1, 6, 600)
    assert readers.stalled_s == pytest.approx(2.0)
    assert (progress.stalls, progress.late) == (1, 1)


def test_heartbeats_are_neither_tokens_nor_gaps() -> None:
    readers = Readers()
    progress = Progress(readers, received_at=RECEIVED_AT, promise=PROMISE)
    progress.sent(0, 14, RECEIVED_AT + 0.5)
    assert (progress.first_token_s, progress.per_token_s, sum(readers.first_token.counts)) == (None, None, 0)
    progress.sent(3, 100, RECEIVED_AT + 1.0)
    progress.sent(0, 14, RECEIVED_AT + 1.2)
    progress.sent(2, 100, RECEIVED_AT + 1.4)
    assert progress.first_token_s == pytest.approx(1.0)
    assert progress.per_token_s == pytest.approx(0.1)
    assert sum(readers.gaps.counts) == 1
    assert readers.gaps.total == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("told", "why", "verdict"),
    [
        (on_schedule(10), Why.COMPLETE, Verdict.MET),
        ([], Why.COMPLETE, Verdict.MET),
        (on_schedule(10, first_s=1.2), Why.COMPLETE, Verdict.LATE_START),
        ([*on_schedule(3), Arrival(RECEIVED_AT + 1.31, 1, 100)], Why.COMPLETE, Verdict.LATE_TOKENS),
        (on_schedule(10), Why.UPSTREAM_BROKE, Verdict.BROKEN),
        (on_schedule(10), Why.TIMED_OUT, Verdict.BROKEN),
        (on_schedule(10), Why.DRAINED, Verdict.BROKEN),
        (on_schedule(10), Why.READER_LEFT, Verdict.LEFT),
    ],
)
def test_goodput_is_what_was_promised_to_the_last_token(told: list[Arrival], why: Why, verdict: Verdict) -> None:
    assert watched(told).end(why, now=RECEIVED_AT + 2.0) is verdict


def test_waiting_for_what_never_comes_counts() -> None:
    readers = Readers()
    progress = watched(on_schedule(5), readers=readers)
    progress.end(Why.TIMED_OUT, now=RECEIVED_AT + 1.0 + 0.5 + 30.0)
    assert readers.stalled_s == pytest.approx(30.0)
    assert readers.reading_s == pytest.approx(30.5)
    assert not math.isnan(progress.quality)
