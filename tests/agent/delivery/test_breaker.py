import pytest

from tokenflow_agent.delivery.breaker import Breaker
from tokenflow_agent.delivery.state import Circuit


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def longest(_: float, most: float) -> float:
    return most


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    return Breaker(clock=time, uniform=longest)


def test_the_first_failures_pause_ever_longer(breaker: Breaker) -> None:
    pauses = []
    for _ in range(4):
        breaker.failed()
        pauses.append(breaker.pause_s())
    assert pauses == [0.25, 0.5, 1.0, 2.0]
    assert breaker.circuit is Circuit.CLOSED


def test_the_fifth_opens_the_circuit_until_one_attempt_is_due(breaker: Breaker, time: Time) -> None:
    for _ in range(5):
        breaker.failed()
    assert (breaker.circuit, breaker.pause_s()) == (Circuit.OPEN, 10.0)
    time.now_s += 10
    assert (breaker.circuit, breaker.pause_s()) == (Circuit.HALF_OPEN, 0.0)


def test_an_attempt_that_fails_opens_it_again_and_one_that_does_not_closes_it(breaker: Breaker, time: Time) -> None:
    for _ in range(5):
        breaker.failed()
    time.now_s += 10
    breaker.failed()
    assert (breaker.circuit, breaker.pause_s()) == (Circuit.OPEN, 10.0)
    time.now_s += 10
    breaker.succeeded()
    assert (breaker.circuit, breaker.pause_s()) == (Circuit.CLOSED, 0.0)
    breaker.failed()
    assert breaker.pause_s() == 0.25


def test_a_server_that_names_its_time_is_obeyed(breaker: Breaker) -> None:
    breaker.failed(at_least_s=40)
    assert breaker.pause_s() == 40


def test_an_open_circuit_rests_half_of_its_time_at_least(time: Time) -> None:
    breaker = Breaker(clock=time, uniform=lambda least, _: least)
    for _ in range(5):
        breaker.failed()
    assert breaker.pause_s() == 5.0
