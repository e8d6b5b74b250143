"""The measures of a stream: figures worked out by hand, and laws that hold for every stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_client._command.measures import (
    Arrival,
    ages,
    bytes_per_token,
    first_token,
    gaps,
    jain,
    on_time,
    percentile,
    quality,
    read_by,
    stalls,
)


@st.composite
def streams(draw: st.DrawFn) -> list[Arrival]:
    steps = draw(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 20), st.integers(0, 500)), min_size=1, max_size=40))
    times = itertools.accumulate(step for step, _, _ in steps)
    return [Arrival(at_s, tokens, size) for at_s, (_, tokens, size) in zip(times, steps, strict=True)]


rates = st.floats(0.5, 100)


def steady(number: int, *, rate: float, start_s: float = 0.0) -> list[Arrival]:
    return [Arrival(start_s + index / rate, 1, 200) for index in range(number)]


def later(stream: list[Arrival], by_s: float) -> list[Arrival]:
    return [Arrival(at_s + by_s, tokens, size) for at_s, tokens, size in stream]


# Two tokens, a comment, then after 1.2 s four in one event.
STREAM = [Arrival(1.0, 1, 100), Arrival(1.1, 1, 100), Arrival(1.5, 0, 15), Arrival(2.3, 4, 185)]


def test_figures_worked_out_by_hand() -> None:
    assert first_token(STREAM, start_s=0.25) == 0.75
    assert gaps(STREAM) == pytest.approx([0.1, 1.2])
    assert bytes_per_token(STREAM) == 400 / 6
    # Read at 5 tokens/s: the second token is read until 1.4, the third comes at 2.3, the last is read by 3.1.
    found = stalls(STREAM, rate=5.0)
    assert (found.count, found.waited_s, found.reading_s) == (1, pytest.approx(0.9), pytest.approx(2.1))
    assert found.ratio == pytest.approx(0.9 / 2.1)
    # Due at 1.0, 1.2, 1.4, 1.6, 1.8 and 2.0: two were there.
    assert on_time(STREAM, rate=5.0) == 2
    # Begun to read at 1.0, 1.2, 2.3, 2.5, 2.7, 2.9.
    assert [read_by(STREAM, rate=5.0, until_s=until) for until in (0.9, 1.2, 2.4, 2.9)] == [0, 2, 3, 6]
    # Expected from 1.0 on; the last four are 0.9 s late each, and the whole area is 6 x 2.9 less the dues.
    assert quality(STREAM, start_s=0.0, rate=5.0, first_token_s=1.0) == pytest.approx(1 - 3.6 / (6 * 2.9 - 9.0))
    assert ages(STREAM, generated_s=[0.9, 1.0, 1.2, 1.4, 1.6, 1.8]) == pytest.approx([0.1, 0.1, 1.1, 0.9, 0.7, 0.5])


def test_a_stream_that_breaks_off_leaves_its_reader_waiting() -> None:
    found = stalls(STREAM, rate=5.0, end_s=4.1)
    assert (found.count, found.waited_s, found.reading_s) == (2, pytest.approx(1.9), pytest.approx(3.1))
    assert stalls(STREAM, rate=5.0, end_s=2.4) == stalls(STREAM, rate=5.0)


def test_nothing_came() -> None:
    silence = [Arrival(1.0, 0, 15)]
    assert first_token(silence, start_s=0.0) is None
    assert bytes_per_token(silence) is None
    assert stalls(silence, rate=10.0, end_s=5.0).ratio == 0.0
    assert quality(silence, start_s=0.0, rate=10.0, first_token_s=1.0) == 0.0
    assert (on_time([], rate=10.0), gaps([]), percentile([], 0.5), jain([])) == (0, [], None, None)


@given(rate=rates, number=st.integers(1, 200))
def test_a_stream_at_the_readers_own_rate_is_perfect(rate: float, number: int) -> None:
    stream = steady(number, rate=rate, start_s=3.0)
    assert stalls(stream, rate=rate).waited_s == pytest.approx(0.0, abs=1e-6)
    assert on_time(stream, rate=rate) == number
    assert quality(stream, start_s=2.0, rate=rate, first_token_s=1.0) == 1.0


@given(stream=streams(), rate=rates)
def test_every_measure_keeps_its_bounds(stream: list[Arrival], rate: float) -> None:
    tokens = sum(arrival.tokens for arrival in stream)
    found = stalls(stream, rate=rate)
    assert 0.0 <= found.ratio <= 1.0
    assert found.reading_s == pytest.approx(found.waited_s + tokens / rate)
    assert 0 <= on_time(stream, rate=rate) <= tokens
    assert 0.0 <= quality(stream, start_s=0.0, rate=rate, first_token_s=1.0) <= 1.0
    assert read_by(stream, rate=rate, until_s=1e9) == tokens


@given(stream=streams(), rate=rates, shift=st.floats(0.0, 100.0))
def test_the_clocks_origin_does_not_matter(stream: list[Arrival], rate: float, shift: float) -> None:
    moved = later(stream, shift)
    assert stalls(moved, rate=rate).waited_s == pytest.approx(stalls(stream, rate=rate).waited_s, abs=1e-6)
    there = quality(moved, start_s=shift, rate=rate, first_token_s=1.0)
    assert there == pytest.approx(quality(stream, start_s=0.0, rate=rate, first_token_s=1.0), abs=1e-6)


@given(stream=streams(), rate=rates, by_s=st.floats(0.0, 10.0), data=st.data())
def test_holding_the_rest_back_never_helps(
    stream: list[Arrival], rate: float, by_s: float, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    held = stream[:cut] + later(stream[cut:], by_s)
    if any(arrival.tokens for arrival in stream[:cut]):
        assert stalls(held, rate=rate).waited_s >= stalls(stream, rate=rate).waited_s - 1e-6
        assert on_time(held, rate=rate) <= on_time(stream, rate=rate)


@given(stream=streams(), slow=rates, factor=st.floats(1.0, 10.0))
def test_whoever_reads_faster_waits_longer(stream: list[Arrival], slow: float, factor: float) -> None:
    assert stalls(stream, rate=slow * factor).waited_s >= stalls(stream, rate=slow).waited_s - 1e-6


@given(shares=st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=1, max_size=50), factor=st.floats(0.01, 100.0))
def test_jains_index_lies_between_one_for_all_and_all_for_one(shares: list[float], factor: float) -> None:
    index = jain(shares)
    if index is not None:
        assert 1 / len(shares) - 1e-9 <= index <= 1 + 1e-9
        assert jain([share * factor for share in shares]) == pytest.approx(index)


def test_jains_index_of_known_shares() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0]) == pytest.approx(0.5)
    assert jain([0.0, 0.0]) is None


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), share=st.floats(0.0, 1.0))
def test_percentiles_lie_among_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert min(values) - 1e-6 <= found <= max(values) + 1e-6


def test_percentiles_of_known_values() -> None:
    values = [4.0, 1.0, 3.0, 2.0, 5.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.75, 1.0)] == [1.0, 3.0, 4.0, 5.0]
    assert percentile([1.0, 2.0], 0.5) == 1.5
