import logging
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import Clock
from tokenflow_gateway.stream.wheel import MOST_PER_TURN, TICK_S, Timer, Wheel


def wheel() -> tuple[Clock, Wheel]:
    clock = Clock()
    return clock, Wheel(clock=clock, call_at=clock.call_at)


@given(delays=st.lists(st.floats(0.0, 30.0), min_size=1, max_size=40))
def test_timers_run_once_within_a_tick_and_never_early(delays: list[float]) -> None:
    clock, turning = wheel()
    began = clock()
    ran: list[tuple[float, float]] = []

    def run(delay: float) -> None:
        ran.append((delay, clock()))

    for delay in delays:
        turning.schedule(Timer(partial(run, delay)), began + delay)
    clock.run(31.0)
    assert sorted(delay for delay, _ in ran) == sorted(delays)
    # The clock runs in steps of what a float near 1000 can tell.
    assert all(-1e-9 <= at - began - delay <= TICK_S + 1e-9 for delay, at in ran)
    assert clock.armed == 0


def test_the_loop_has_one_timer_however_many_streams_wait() -> None:
    clock, turning = wheel()
    for number in range(1000):
        turning.schedule(Timer(lambda: None), clock() + 1.0 + number / 100)
    assert clock.armed == 1


def test_a_timer_that_is_called_off_does_not_run() -> None:
    clock, turning = wheel()
    timer = Timer(lambda: pytest.fail("it ran"))
    turning.schedule(timer, clock() + 1.0)
    timer.cancel()
    clock.run(2.0)


def test_a_timer_that_is_moved_runs_at_its_new_time_alone() -> None:
    clock, turning = wheel()
    began, ran = clock(), list[float]()
    timer = Timer(lambda: ran.append(clock()))
    for after in (1.0, 3.0, 2.0):
        turning.schedule(timer, began + after)
    clock.run(5.0)
    assert ran == [pytest.approx(began + 2.0, abs=TICK_S)]


def test_a_timer_may_schedule_itself_again() -> None:
    clock, turning = wheel()
    ran = list[float]()

    def again() -> None:
        ran.append(clock())
        turning.schedule(timer, clock() + 0.1)

    timer = Timer(again)
    again()
    clock.run(10.0)
    assert len(ran) == pytest.approx(100, abs=5)


def test_after_a_pause_the_loop_gets_its_turn_between_the_many_that_are_late() -> None:
    clock, turning = wheel()
    ran = list[int]()
    for number in range(2 * MOST_PER_TURN + 1):
        turning.schedule(Timer(partial(ran.append, number)), clock() + number % 7 * TICK_S)
    turns = []
    clock.now += 60.0
    while clock.armed:
        clock.run(0.0)
        turns.append(len(ran))
        assert len(turns) < 10
    assert len(ran) == 2 * MOST_PER_TURN + 1


def test_one_of_many_that_are_late_may_schedule_itself_at_once() -> None:
    clock, turning = wheel()
    ran = list[int]()
    at = clock() + 1.0

    def again() -> None:
        ran.append(0)
        if len(ran) == 1:
            turning.schedule(first, at)

    first = Timer(again)
    turning.schedule(first, at)
    for number in range(1, MOST_PER_TURN + 2):
        turning.schedule(Timer(partial(ran.append, number)), at)
    while clock.armed:
        clock.run(2.0)
    assert sorted(ran) == sorted([0, *range(MOST_PER_TURN + 2)])


def test_a_timer_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    clock, turning = wheel()
    ran = list[int]()
    turning.schedule(Timer(partial(ran.remove, 7)), clock() + 1.0)
    turning.schedule(Timer(partial(ran.append, 1)), clock() + 1.0)
    with caplog.at_level(logging.ERROR):
        clock.run(2.0)
    assert ran == [1]
    assert "a timer failed" in caplog.text
