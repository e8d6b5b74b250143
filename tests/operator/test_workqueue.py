import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tokenflow_operator.workqueue import Backoff, WorkQueue

KEYS = st.sampled_from("abc")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(backoff=Backoff(base_s=1.0, cap_s=8.0, jitter=lambda: 1.0), clock=clock)


def test_many_requests_become_one_pass(queue: WorkQueue[str]) -> None:
    for _ in range(5):
        queue.add("a")
    assert queue.take() == "a"
    assert queue.take() is None


def test_a_key_is_never_worked_on_twice_at_a_time(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take()
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_a_delayed_key_comes_when_it_is_due(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 5.0)
    clock.now = 4.9
    assert queue.take() is None
    clock.now = 5.0
    assert queue.take() == "a"


def test_the_earliest_of_several_times_holds(queue: WorkQueue[str], clock: Clock) -> None:
    for delay_s in (5.0, 1.0, 9.0):
        queue.add_after("a", delay_s)
    clock.now = 1.0
    assert queue.take() == "a"
    queue.done("a")
    clock.now = 100.0
    assert queue.take() is None


def test_a_pass_makes_an_earlier_wish_for_one_void(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 5.0)
    queue.add("a")
    assert queue.take() == "a"
    queue.done("a")
    clock.now = 5.0
    assert queue.take() is None


def test_a_key_rests_after_a_pass_and_what_was_asked_for_meanwhile_becomes_one(
    queue: WorkQueue[str], clock: Clock
) -> None:
    queue.add("a")
    queue.take()
    queue.add("a")
    queue.done("a", rest_s=2.0)
    queue.add("a")
    assert queue.take() is None
    clock.now = 2.0
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_keys_are_taken_in_the_order_in_which_they_became_ready(queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key)
    first = queue.take()
    queue.add("a")
    queue.done("a")
    assert [first, queue.take(), queue.take(), queue.take()] == ["a", "b", "c", "a"]


def test_it_tells_for_how_long_the_next_key_has_waited(queue: WorkQueue[str], clock: Clock) -> None:
    assert queue.oldest_s == 0.0
    queue.add("a")
    clock.now = 3.0
    assert queue.oldest_s == 3.0
    queue.take()
    assert queue.oldest_s == 0.0


def test_who_asks_for_a_pause_gets_it(queue: WorkQueue[str]) -> None:
    assert queue.retry("a", at_least_s=5.0) == 5.0


def test_failures_back_off_up_to_a_cap_and_success_forgets_them(queue: WorkQueue[str]) -> None:
    assert [queue.retry("a") for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    queue.succeeded("a")
    assert queue.retry("a") == 1.0


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_jitter_takes_off_at_most_half(failures: int, jitter: float) -> None:
    delay_s = Backoff(jitter=lambda: jitter).delay_s(failures)
    full = Backoff(jitter=lambda: 1.0).delay_s(failures)
    assert full / 2 <= delay_s <= full <= Backoff().cap_s


class QueueLaws(RuleBasedStateMachine):
    """Nothing that was asked for is lost, and nothing is worked on twice at a time, or before it has rested."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: WorkQueue[str] = WorkQueue(clock=self.clock)
        self.asked: set[str] = set()
        self.working: set[str] = set()
        self.resting: dict[str, float] = {}

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.asked.add(key)

    @rule(key=KEYS, delay_s=st.floats(0, 10))
    def add_after(self, key: str, delay_s: float) -> None:
        self.queue.add_after(key, delay_s)
        self.asked.add(key)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        key = self.queue.take()
        if key is not None:
            assert key not in self.working
            assert key in self.asked
            assert self.resting.pop(key, 0.0) <= self.clock.now
            self.asked.discard(key)
            self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(rest_s=st.floats(0, 10))
    def finish(self, rest_s: float) -> None:
        key = self.working.pop()
        self.queue.done(key, rest_s=rest_s)
        if rest_s:
            self.resting[key] = self.clock.now + rest_s

    def teardown(self) -> None:
        self.clock.now += 20.0
        while self.working:
            self.finish(0.0)
        while self.asked:
            left = len(self.asked)
            self.take()
            assert len(self.asked) == left - 1
            self.finish(0.0)


TestQueueLaws = QueueLaws.TestCase


async def test_a_waiting_worker_gets_what_is_added(queue: WorkQueue[str]) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_waiting_worker_gets_what_becomes_due() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.01)
    async with asyncio.timeout(30):
        assert await queue.get() == "a"


async def test_closing_sends_all_workers_home(queue: WorkQueue[str]) -> None:
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.close()
    async with asyncio.timeout(30):
        assert await asyncio.gather(*waiting) == [None, None, None]
