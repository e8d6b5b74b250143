from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.drift import DRIFT_S, drifted
from tokenflow_api.hints import Admission, Hint, PathState, Source
from tokenflow_api.modes import Mode

rates = st.floats(0.1, 10_000.0)
ages = st.floats(0.0, 100.0)


def hint(rate: float) -> Hint:
    return Hint(
        tenant="gold",
        tokens_per_second=rate,
        batch_size=1,
        batch_delay_ms=0,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
    )


@given(rate=rates, age=st.floats(0.0, 1.0), fallback=rates)
def test_a_fresh_hint_is_what_it_was(rate: float, age: float, fallback: float) -> None:
    assert drifted(hint(rate), age_s=age, ttl_s=1.0, fallback=fallback) == hint(rate)


@given(rate=rates, age=ages, fallback=rates)
def test_an_old_hint_lies_between_itself_and_the_fallback(rate: float, age: float, fallback: float) -> None:
    now = drifted(hint(rate), age_s=age, ttl_s=1.0, fallback=fallback).tokens_per_second
    assert min(rate, fallback) - 1e-6 <= now <= max(rate, fallback) + 1e-6
    assert now > 0


@given(rate=rates, age=ages, more=ages, fallback=rates)
def test_it_only_ever_comes_closer(rate: float, age: float, more: float, fallback: float) -> None:
    early = drifted(hint(rate), age_s=age, ttl_s=1.0, fallback=fallback).tokens_per_second
    late = drifted(hint(rate), age_s=age + more, ttl_s=1.0, fallback=fallback).tokens_per_second
    assert abs(late - fallback) <= abs(early - fallback) + 1e-6


@given(rate=rates, fallback=rates)
def test_after_the_drift_it_is_the_fallback(rate: float, fallback: float) -> None:
    late = drifted(hint(rate), age_s=1.0 + DRIFT_S, ttl_s=1.0, fallback=fallback)
    assert abs(late.tokens_per_second - fallback) < 1e-6
    assert (late.source, late.state) == (Source.FALLBACK, PathState.DEGRADED)


def test_nobody_is_held_back_for_gpus_of_which_nothing_is_known() -> None:
    pressed = hint(10.0).model_copy(
        update={"admission": Admission.SHED, "retry_after_ms": 5000, "max_tokens_hint": 100}
    )
    early = drifted(pressed, age_s=DRIFT_S, ttl_s=1.0, fallback=10.0)
    assert (early.admission, early.retry_after_ms, early.max_tokens_hint) == (Admission.SHED, 5000, 100)
    late = drifted(pressed, age_s=1.0 + DRIFT_S, ttl_s=1.0, fallback=10.0)
    assert (late.admission, late.retry_after_ms, late.max_tokens_hint) == (Admission.ADMIT, 0, None)
