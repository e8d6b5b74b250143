"""Rate limits of one replica."""

from hypothesis import given
from hypothesis import strategies as st

from tests.serving.issuer import Clock
from tokenflow_api.serving.rates import RateLimiter


def test_a_second_of_requests_may_come_at_once_and_then_at_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    assert [limiter.take("a", per_second=3) for _ in range(3)] == [0, 0, 0]
    assert 0 < limiter.take("a", per_second=3) <= 1 / 3
    assert limiter.take("b", per_second=3) == 0
    clock.now += 1 / 3
    assert limiter.take("a", per_second=3) == 0
    assert limiter.take("a", per_second=3) > 0
    clock.now += 60
    assert [limiter.take("a", per_second=3) for _ in range(4)][:3] == [0, 0, 0]


@given(st.integers(1, 50), st.lists(st.floats(0, 0.5), max_size=300))
def test_no_window_holds_more_than_the_rate_and_the_burst(rate: int, gaps: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    taken = []
    for gap in gaps:
        clock.now += gap
        if limiter.take("a", per_second=rate) == 0:
            taken.append(clock.now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= rate * (taken[last] - taken[first] + 1) + 1e-6


@given(st.integers(1, 50), st.lists(st.floats(0, 0.5), max_size=100))
def test_who_waits_as_long_as_told_is_let_in(rate: int, gaps: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    for gap in gaps:
        clock.now += gap
        wait = limiter.take("a", per_second=rate)
        if wait:
            clock.now += wait
            assert limiter.take("a", per_second=rate) == 0


def test_senders_are_bounded_and_those_who_still_send_are_remembered() -> None:
    clock = Clock()
    limiter = RateLimiter(max_senders=100, clock=clock)
    for number in range(10_000):
        limiter.take(number, per_second=1)
        limiter.take("busy", per_second=1)
        assert limiter.take("busy", per_second=1) > 0
    assert len(limiter._newer) + len(limiter._older) <= 200
