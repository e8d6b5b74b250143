from hypothesis import given
from hypothesis import strategies as st

from tokenflow_hintsvc.decide.health import health, inflation, smoothed

inflations = st.none() | st.floats(min_value=1.0, max_value=1e4)
ratios = st.none() | st.floats(min_value=0.0, max_value=1.0)
scores = st.floats(min_value=0.0, max_value=1.0)


def judge(rtt: float | None, loss: float | None) -> float:
    return health(rtt_inflation=rtt, retransmit_ratio=loss, inflation_threshold=1.25, loss_threshold=0.02)


@given(rtt=inflations, loss=ratios)
def test_health_lies_between_zero_and_one(rtt: float | None, loss: float | None) -> None:
    assert 0.0 < judge(rtt, loss) <= 1.0


@given(low=st.floats(1.0, 1e4), more=st.floats(0.0, 1e4), loss=ratios)
def test_health_never_rises_with_the_round_trip_time(low: float, more: float, loss: float | None) -> None:
    assert judge(low + more, loss) <= judge(low, loss)


@given(low=st.floats(0.0, 0.5), more=st.floats(0.0, 0.5), rtt=inflations)
def test_health_never_rises_with_loss(low: float, more: float, rtt: float | None) -> None:
    assert judge(rtt, low + more) <= judge(rtt, low)


def test_a_path_within_its_thresholds_is_well() -> None:
    assert judge(1.25, 0.02) == 1.0


def test_twice_the_threshold_halves_health() -> None:
    assert judge(2.5, None) == 0.5


def test_a_jump_on_a_very_short_path_is_noise() -> None:
    assert inflation(rtt_us=300, baseline_us=100) < 1.25


@given(before=scores, now=scores)
def test_smoothing_stays_between_old_and_new(before: float, now: float) -> None:
    assert min(before, now) - 1e-9 <= smoothed(before, now) <= max(before, now) + 1e-9
