"""The laws by themselves: the pacer, the mean of the last rates, the batch window, the circuit breaker, the states."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.hint_service import hint
from tokenflow_api.drift import DRIFT_S
from tokenflow_api.hints import Hint, Source
from tokenflow_client import Circuit, CircuitOpenError, State, Status
from tokenflow_client._breaker import CircuitBreaker
from tokenflow_client._pacer import CATCH_UP_S, Pace, Pacer
from tokenflow_client._rates import MeanRate
from tokenflow_client._sources import Sources
from tokenflow_client._state import OUTAGE_S, Known, Reach, judge
from tokenflow_client._window import BatchWindow

rates = st.floats(min_value=0.1, max_value=10_000)


@given(
    rate=st.floats(1, 200),
    steps=st.lists(st.tuples(st.integers(0, 16), st.floats(0, 3)), min_size=1, max_size=60),
)
def test_no_window_of_time_gets_more_than_its_rate_one_batch_and_the_catch_up(
    rate: float, steps: list[tuple[int, float]]
) -> None:
    pacer, now, sent = Pacer(), 0.0, list[tuple[float, int]]()
    for tokens, idle_s in steps:
        now += idle_s
        now += pacer.wait(now, tokens_per_second=rate)
        pacer.sent(tokens, at=now, tokens_per_second=rate)
        sent.append((now, tokens))
    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, tokens in sent[first:]:
            total += tokens
            assert total <= rate * (end - begin + CATCH_UP_S) + 16 + 1e-6


def test_the_first_tokens_are_due_at_once_and_a_new_rate_counts_for_those_that_wait() -> None:
    pacer = Pacer()
    assert pacer.wait(5.0, tokens_per_second=0.1) == 0.0
    pacer.sent(1, at=5.0, tokens_per_second=0.1)
    assert pacer.wait(5.0, tokens_per_second=0.1) == pytest.approx(10.0)
    assert pacer.wait(5.0, tokens_per_second=2.0) == pytest.approx(0.5)


@given(told=st.lists(rates, min_size=1, max_size=40), last=st.integers(1, 10))
def test_the_mean_is_of_the_last_rates_and_a_lower_one_counts_at_once(told: list[float], last: int) -> None:
    mean = MeanRate(last)
    for index, rate in enumerate(told):
        mean.add(rate)
        expected = fmean(told[max(0, index + 1 - last) : index + 1])
        assert mean.mean == pytest.approx(expected)
        assert mean.smooth(rate) == pytest.approx(min(rate, expected))


@given(overdue=st.lists(st.floats(0, 100), max_size=200), batch=st.integers(1, 64))
def test_a_batch_is_at_least_the_hints_and_grows_by_one_at_most(overdue: list[float], batch: int) -> None:
    window, pace = BatchWindow(), Pace(tokens_per_second=1.0, batch_size=batch)
    before = window.size(pace)
    assert before == batch
    for tokens in overdue:
        window.returned(tokens)
        size = window.size(pace)
        assert batch <= size <= min(64, before + 1)
        before = size


def test_a_slow_consumer_widens_the_window_and_a_fast_one_halves_it() -> None:
    window, pace = BatchWindow(), Pace(tokens_per_second=1.0)
    for _ in range(7):
        window.returned(50.0)
    assert window.size(pace) == 8
    window.returned(0.5)
    assert window.size(pace) == 8
    window.returned(0.0)
    assert window.size(pace) == 4


@given(steps=st.lists(st.one_of(st.booleans(), st.floats(0, 20)), max_size=100), limit=st.integers(1, 6))
def test_the_circuit_opens_after_that_many_failures_and_lets_one_request_decide(
    steps: list[bool | float], limit: int
) -> None:
    now = 0.0
    breaker = CircuitBreaker(failures=limit, open_s=10.0, clock=lambda: now, uniform=lambda _, most: most)
    in_a_row, opened_at = 0, float("-inf")
    for step in steps:
        if not isinstance(step, bool):
            now += step
            continue
        if breaker.state is Circuit.OPEN and now - opened_at < 10.0:
            with pytest.raises(CircuitOpenError):
                breaker.admit()
            continue
        breaker.admit()
        if breaker.state is Circuit.HALF_OPEN:
            with pytest.raises(CircuitOpenError):
                breaker.admit()
        on_trial = breaker.state is Circuit.HALF_OPEN
        if step:
            breaker.succeeded()
            in_a_row = 0
            assert breaker.state is Circuit.CLOSED
        else:
            breaker.failed()
            in_a_row += 1
            opens = on_trial or in_a_row >= limit
            assert breaker.state is (Circuit.OPEN if opens else Circuit.CLOSED)
            opened_at = now if opens else opened_at


def state(
    known: Hint | None, *, age_s: float = 0.0, heard: bool = True, trouble: str = "", silent_s: float = 0.0
) -> Status:
    held = known and Known(hint=known, tokens_per_second=known.tokens_per_second, ttl_s=1.0, received_at=100.0)
    reach = Reach(circuit=Circuit.CLOSED, heard=heard, trouble=trouble, silent_s=silent_s)
    return judge(held, reach, now=100.0 + age_s, fallback=20.0)


def theirs(reason: str) -> Hint:
    """Return what a hint service says that has nothing to go by itself."""
    return hint(40.0).model_copy(update={"source": Source.FALLBACK, "reasons": [reason]})


@pytest.mark.parametrize(
    ("found", "expected", "rate"),
    [
        (state(None), State.CONNECTING, 20.0),
        (state(None, trouble="refused"), State.FALLBACK, 20.0),
        (state(hint(40.0), age_s=1.0), State.LIVE, 40.0),
        (state(hint(40.0), age_s=1.0 + DRIFT_S / 2), State.DRIFTING, 30.0),
        (state(hint(40.0), age_s=1.0 + DRIFT_S), State.FALLBACK, 20.0),
        (state(theirs("HintExpired")), State.DRIFTING, 40.0),
        (state(theirs("NoTelemetry")), State.FALLBACK, 40.0),
        (state(hint(40.0), heard=False, silent_s=OUTAGE_S), State.PAUSED, 40.0),
        (state(hint(40.0), heard=True, silent_s=60.0), State.LIVE, 40.0),
    ],
)
def test_the_state_tells_where_the_rate_comes_from(found: Status, expected: State, rate: float) -> None:
    assert found.state is expected
    assert found.tokens_per_second == pytest.approx(rate)
    assert bool(found.reason) is (expected is not State.LIVE)


def test_sources_are_silent_only_while_somebody_waits() -> None:
    now = 10.0
    sources = Sources(lambda: now)
    sources.waits()
    now = 13.0
    assert sources.silent_s == 3.0
    sources.heard()
    assert sources.silent_s == 0.0
    now = 60.0
    sources.waits()
    assert sources.silent_s == 0.0
