from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.admission.support import Clock
from tokenflow_gateway.admission.overload import TICK_S, LoopLag, Overload


def overload(*, streams: int = 100, priorities: tuple[int, ...] = (10, 50, 100)) -> Overload:
    made = Overload()
    made.configure(max_streams=streams, priorities=priorities)
    return made


def shed(made: Overload, *, streams: int = 0, lag_s: float = 0.0) -> list[int]:
    return [priority for priority in (10, 50, 100) if made.refuses(priority, streams=streams, lag_s=lag_s)]


def test_the_last_streams_are_kept_for_higher_priorities() -> None:
    made = overload()
    assert [shed(made, streams=streams) for streams in (79, 80, 89, 90, 99, 100)] == [
        [],
        [10],
        [10],
        [10, 50],
        [10, 50],
        [10, 50, 100],
    ]


def test_a_single_priority_may_fill_everything() -> None:
    made = overload(streams=2, priorities=(7,))
    assert made.refuses(7, streams=1, lag_s=0.0) == ""
    assert "spec.gateway.maxStreams" in made.refuses(7, streams=2, lag_s=0.0)


def test_a_late_loop_sheds_the_lowest_priority_first() -> None:
    assert shed(overload(), lag_s=0.04) == []
    assert shed(overload(), lag_s=0.05) == [10]
    assert shed(overload(), lag_s=0.15) == [10, 50]
    assert shed(overload(), lag_s=0.25) == [10, 50, 100]


def test_who_was_shed_for_lag_comes_back_when_it_is_well_below() -> None:
    made = overload()
    assert shed(made, lag_s=0.06) == [10]
    assert shed(made, lag_s=0.03) == [10]
    assert shed(made, lag_s=0.024) == []
    assert shed(made, lag_s=0.03) == []


@given(streams=st.integers(0, 200), lag_s=st.floats(0.0, 1.0), before=st.lists(st.floats(0.0, 1.0), max_size=5))
def test_nobody_is_shed_before_a_lower_priority(streams: int, lag_s: float, before: list[float]) -> None:
    made = overload()
    for lag in before:
        shed(made, lag_s=lag)
    found = shed(made, streams=streams, lag_s=lag_s)
    assert found == [10, 50, 100][: len(found)]


def test_lag_is_how_late_the_timer_fires_smoothed() -> None:
    clock = Clock()
    lag = LoopLag(clock)
    lag.tick()
    clock.now += TICK_S
    lag.tick()
    assert lag.lag_s < 1e-9
    clock.now += TICK_S + 0.5
    lag.tick()
    assert round(lag.lag_s, 3) == 0.15
    for _ in range(20):
        clock.now += TICK_S
        lag.tick()
    assert lag.lag_s < 0.002
