"""Laws of the breaker, by a fake clock."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.gateway.upstream.fleets import Clock
from tokenflow_gateway.upstream.breaker import Breaker, BreakerState, Pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter())


def test_it_opens_after_five_failures_in_a_row(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    fail(breaker, 4)
    breaker.succeeded(breaker.enter())
    fail(breaker, 4)
    assert (breaker.state, breaker.passes) == (BreakerState.CLOSED, True)
    fail(breaker, 1)
    assert (breaker.state, breaker.passes, breaker.rests_s) == (BreakerState.OPEN, False, 1.0)


def test_it_opens_when_half_of_the_last_twenty_failed_however_they_are_spread(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    for _ in range(9):
        breaker.succeeded(breaker.enter())
        fail(breaker, 1)
    breaker.succeeded(breaker.enter())
    assert breaker.passes
    fail(breaker, 1)
    assert not breaker.passes


def test_failures_long_ago_do_not_count(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    for _ in range(20):
        clock.now += 4.0
        breaker.succeeded(breaker.enter())
        fail(breaker, 1)
    assert breaker.passes


def test_a_probe_that_succeeds_closes_it(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    fail(breaker, 5)
    clock.now += 1.0
    assert (breaker.state, breaker.passes) == (BreakerState.HALF_OPEN, True)
    probe = breaker.enter()
    assert (probe.probe, breaker.passes) == (True, False)
    breaker.succeeded(probe)
    assert (breaker.state, breaker.passes, breaker.rests_s) == (BreakerState.CLOSED, True, 0.0)


def test_it_rests_twice_as_long_after_each_probe_that_failed_but_not_for_ever(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    fail(breaker, 5)
    rests = []
    for _ in range(7):
        rests.append(breaker.rests_s)
        clock.now += breaker.rests_s
        fail(breaker, 1)
    assert rests == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_probe_that_left_lets_another_one_through(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    fail(breaker, 5)
    clock.now += 1.0
    breaker.left(breaker.enter())
    assert breaker.passes


def test_what_was_sent_before_it_opened_says_nothing_of_the_probe(clock: Clock) -> None:
    breaker = Breaker(clock=clock)
    early = breaker.enter()
    fail(breaker, 5)
    clock.now += 1.0
    breaker.enter()
    breaker.succeeded(early)
    breaker.left(early)
    breaker.failed(early)
    assert (breaker.state, breaker.passes) == (BreakerState.HALF_OPEN, False)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens, a half-open breaker has one probe under way, and an open one none."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(clock=self.clock)
        self.under_way: list[Pass] = []
        self.probes: list[Pass] = []

    @rule()
    @precondition(lambda self: self.breaker.passes)
    def enter(self) -> None:
        given = self.breaker.enter()
        self.under_way.append(given)
        if given.probe:
            self.probes.append(given)

    @rule(which=st.integers(0, 1000), how=st.sampled_from(["succeeded", "failed", "left"]))
    @precondition(lambda self: self.under_way)
    def end(self, which: int, how: str) -> None:
        given = self.under_way.pop(which % len(self.under_way))
        getattr(self.breaker, how)(given)
        if given in self.probes:
            self.probes.remove(given)

    @rule(seconds=st.floats(0.0, 40.0))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def one_probe_at_most(self) -> None:
        assert len(self.probes) <= 1

    @invariant()
    def it_passes_again_in_the_end(self) -> None:
        assert self.breaker.rests_s <= 30.0
        if self.breaker.state is BreakerState.HALF_OPEN:
            assert self.breaker.passes is not bool(self.probes)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
