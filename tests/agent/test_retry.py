from hypothesis import given
from hypothesis import strategies as st

from tests.agent.clock import Clock
from tokenflow_agent.retry import LASTING_S, MOST_S, STEADY_S, Retry


def pauses(retry: Retry, clock: Clock, *, failures: int, lasting: bool = False) -> list[float]:
    """Have it fail so often, each time as soon as it was due; return how long it was not."""
    found = []
    for _ in range(failures):
        began = clock.now
        retry.failed(lasting=lasting)
        while not retry.due:
            clock.now += 0.5
        found.append(clock.now - began)
    return found


def test_pauses_grow_up_to_a_bound() -> None:
    clock = Clock()
    retry = Retry(clock=clock, uniform=max)
    assert retry.due
    assert pauses(retry, clock, failures=11) == [1, 2, 4, 8, 16, 32, 64, 128, 256, MOST_S, MOST_S]


def test_what_fails_soon_after_it_worked_goes_on_growing_and_what_worked_for_long_begins_anew() -> None:
    clock = Clock()
    retry = Retry(clock=clock, uniform=max)
    assert pauses(retry, clock, failures=3) == [1, 2, 4]
    retry.succeeded()
    clock.now += STEADY_S - 1
    assert pauses(retry, clock, failures=2) == [8, 16]
    retry.succeeded()
    clock.now += STEADY_S
    assert pauses(retry, clock, failures=2) == [1, 2]


def test_what_the_node_lacks_is_tried_rarely() -> None:
    clock = Clock()
    assert pauses(Retry(clock=clock), clock, failures=3, lasting=True) == [LASTING_S] * 3


def test_only_tries_after_a_failure_are_restarts() -> None:
    clock = Clock()
    retry = Retry(clock=clock, uniform=max)
    retry.succeeded()
    retry.failed()
    assert retry.restarts == 0
    clock.now += 10
    retry.failed()
    clock.now += 10
    retry.succeeded()
    assert retry.restarts == 2
    retry.failed()
    assert retry.restarts == 2


def test_looks_for_what_is_absent_are_no_restarts() -> None:
    clock = Clock()
    retry = Retry(clock=clock, uniform=max)
    assert pauses(retry, clock, failures=3) == [1, 2, 4]
    assert retry.restarts == 2
    retry.failed(absent=True)
    retry.failed(absent=True)
    retry.succeeded()
    assert retry.restarts == 3


def test_what_is_forgotten_is_due_at_once_and_begins_anew() -> None:
    clock = Clock()
    retry = Retry(clock=clock, uniform=max)
    pauses(retry, clock, failures=3)
    retry.failed()
    assert not retry.due
    retry.forget()
    assert retry.due
    assert pauses(retry, clock, failures=2) == [1, 2]
    assert retry.restarts == 4


@given(st.lists(st.booleans(), max_size=30))
def test_whatever_happened_it_is_due_again_in_time(outcomes: list[bool]) -> None:
    clock = Clock()
    retry = Retry(clock=clock)
    for well in outcomes:
        if well:
            retry.succeeded()
        else:
            retry.failed()
        clock.now += MOST_S
        assert retry.due
