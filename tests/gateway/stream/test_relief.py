from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import Clock
from tokenflow_gateway.stream.relief import HIGH, LOW, SPAN_S, Load, Relief

loads = st.floats(0.0, 4.0)


@given(st.lists(loads, max_size=50))
def test_it_stays_a_share(seen: list[float]) -> None:
    relief = Relief()
    for load in seen:
        relief = relief.next(load)
        assert 0.0 <= relief.share <= 1.0


@given(before=st.floats(0.0, 1.0), one=loads, other=loads)
def test_more_to_do_never_means_smaller_batches(before: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert Relief(share=before).next(less).share <= Relief(share=before).next(more).share


@given(share=st.floats(0.0, 1.0), load=st.floats(LOW, HIGH))
def test_between_the_bounds_it_rests(share: float, load: float) -> None:
    assert Relief(share=share).next(load) == Relief(share=share)


def test_a_gateway_without_time_left_is_relieved_at_once_and_one_with_little_left_by_and_by() -> None:
    assert Relief().next(1.0).share == 1.0
    assert 0.0 < Relief().next(HIGH + 0.1).share < 0.25


def test_it_is_gone_within_half_a_minute() -> None:
    relief = Relief(share=1.0)
    for _ in range(21):
        relief = relief.next(0.1)
    assert relief.share == 0.0


def test_the_use_is_averaged() -> None:
    clock, used = Clock(), [0.0]
    load = Load(clock=clock, cpu=lambda: used[0])
    used[0], clock.now = 0.5, clock.now + SPAN_S / 2
    load.look()
    assert load.relief.share == 0.0
    clock.now += SPAN_S / 2
    load.look()
    assert load.relief.share > 0.0
