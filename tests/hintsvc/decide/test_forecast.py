from hypothesis import given
from hypothesis import strategies as st

from tokenflow_hintsvc.decide.forecast import Forecast, nudge

quantiles = st.floats(0.0, 1e8)
anything = st.floats(allow_nan=True, allow_infinity=True)


def of(p50_s: float, p90_s: float, *, anomaly: float = 0.0) -> float:
    forecast = Forecast(p10_us=0.0, p50_us=p50_s * 1e6, p90_us=p90_s * 1e6, anomaly=anomaly, version="v1")
    return nudge(forecast, baseline_us=10_000.0, target_s=0.5)


@given(p10=quantiles, p50=quantiles, p90=quantiles, anomaly=st.floats(0.0, 1.0), baseline=st.floats(1.0, 1e6))
def test_a_model_moves_a_rate_by_a_fifth_at_most(
    p10: float, p50: float, p90: float, anomaly: float, baseline: float
) -> None:
    forecast = Forecast(p10_us=p10, p50_us=p50, p90_us=p90, anomaly=anomaly, version="v1")
    assert 0.8 <= nudge(forecast, baseline_us=baseline, target_s=0.5) <= 1.2


@given(p50=anything, p90=anything, anomaly=anything)
def test_whatever_a_model_says_a_rate_stays_a_number(p50: float, p90: float, anomaly: float) -> None:
    forecast = Forecast(p10_us=0.0, p50_us=p50, p90_us=p90, anomaly=anomaly, version="v1")
    assert 0.8 <= nudge(forecast, baseline_us=10_000.0, target_s=0.5) <= 1.2


@given(p50=st.floats(0.0, 100.0), more=st.floats(0.0, 100.0), spread=st.floats(0.0, 10.0))
def test_a_longer_queue_never_raises_the_rate(p50: float, more: float, spread: float) -> None:
    assert of(p50 + more, p50 + more + spread) <= of(p50, p50 + spread)


def test_a_queue_that_is_likely_to_pass_the_target_slows_down() -> None:
    assert of(0.76, 2.0) == 0.9


def test_a_path_that_stays_short_even_at_worst_speeds_up() -> None:
    assert of(0.01, 0.01) == 1.2


def test_what_the_model_never_saw_speeds_nobody_up() -> None:
    assert of(0.01, 0.01, anomaly=1.0) == 1.0
