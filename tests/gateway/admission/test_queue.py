import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.admission.support import Clock
from tokenflow_gateway.admission.queue import RequestQueue
from tokenflow_gateway.errors import QueueFullError, QueueTimeoutError

MAX_WAIT_S = 10.0


class Room:
    """So many places of one kind."""

    def __init__(self, places: int = 0) -> None:
        self.places = places
        self.taken: list[str] = []
        self.given_back: list[str] = []

    def attempt(self, name: str) -> Callable[[], str | None]:
        def take() -> str | None:
            if not self.places:
                return None
            self.places -= 1
            self.taken.append(name)
            return name

        return take


class Line:
    """A queue with a clock that stands still, and those who wait in it."""

    def __init__(self, *, most: int = 100, priorities: tuple[int, ...] = (0, 100)) -> None:
        self.clock = Clock()
        self.queue = RequestQueue(clock=self.clock)
        self.queue.configure(max_requests=most, max_wait_s=MAX_WAIT_S, priorities=priorities)
        self.room = Room()

    async def join(
        self, name: str, *, priority: int = 0, lane: str = "m", room: Room | None = None
    ) -> asyncio.Task[str]:
        room = room or self.room
        task = asyncio.ensure_future(
            self.queue.take(
                room.attempt(name), give_back=room.given_back.append, priority=priority, lane=lane, since=self.clock()
            )
        )
        await asyncio.sleep(0)
        return task

    def free(self, places: int = 1) -> None:
        self.room.places += places
        self.queue.wake()


async def test_where_there_is_room_nobody_waits() -> None:
    line = Line(most=0)
    line.room.places = 1
    assert await (await line.join("a")) == "a"
    assert line.queue.waiting == 0


async def test_equals_go_in_the_order_in_which_they_came() -> None:
    line = Line()
    for name in ("a", "b", "c"):
        await line.join(name)
        line.clock.now += 1
    line.free()
    assert line.room.taken == ["a"]
    line.free(2)
    assert line.room.taken == ["a", "b", "c"]


async def test_a_newcomer_does_not_overtake_those_who_wait_for_the_same() -> None:
    line = Line()
    await line.join("a")
    line.room.places = 1
    task = await line.join("b")
    assert (line.room.taken, task.done()) == ([], False)
    line.queue.wake()
    assert line.room.taken == ["a"]
    task.cancel()


async def test_the_higher_priority_goes_first_within_its_head_start() -> None:
    line = Line()
    await line.join("low", priority=0)
    line.clock.now += 4.9
    await line.join("high", priority=100)
    line.free()
    assert line.room.taken == ["high"]


async def test_who_has_waited_for_half_of_the_longest_wait_goes_before_every_newcomer() -> None:
    line = Line()
    await line.join("low", priority=0)
    line.clock.now += 5.1
    await line.join("high", priority=100)
    line.free()
    assert line.room.taken == ["low"]


async def test_a_model_that_is_full_does_not_hold_up_the_others() -> None:
    line, other = Line(), Room()
    for index in range(50):
        await line.join(f"full-{index}", priority=100, lane="full")
    await line.join("free", lane="free", room=other)
    other.places = 1
    line.queue.wake()
    assert (other.taken, line.room.taken, line.queue.waiting) == (["free"], [], 50)


async def test_only_the_first_of_those_who_want_the_same_is_asked() -> None:
    line = Line()
    asked = []

    def attempt(name: str) -> Callable[[], str | None]:
        return lambda: asked.append(name)  # type: ignore[func-returns-value]

    waiting = [
        asyncio.ensure_future(line.queue.take(attempt(name), give_back=len, priority=0, lane="m", since=line.clock()))
        for name in ("a", "b", "c")
    ]
    await asyncio.sleep(0)
    asked.clear()
    line.queue.wake()
    assert asked == ["a"]
    for task in waiting:
        task.cancel()


async def test_a_full_queue_sheds_the_newcomer_of_the_lowest_priority() -> None:
    line = Line(most=1)
    await line.join("a", priority=100)
    with pytest.raises(QueueFullError, match=r"spec\.gateway\.queue\.maxRequests"):
        await (await line.join("b", priority=0))


async def test_a_full_queue_sheds_who_would_go_last_for_a_newcomer_of_higher_priority() -> None:
    line = Line(most=2)
    early = await line.join("early")
    late = await line.join("late")
    await line.join("high", priority=100)
    with pytest.raises(QueueFullError):
        await late
    assert (early.done(), line.queue.waiting) == (False, 2)


async def test_a_full_queue_keeps_the_lowest_priority_once_it_has_waited_long_enough() -> None:
    line = Line(most=1)
    low = await line.join("low")
    line.clock.now += 5.1
    with pytest.raises(QueueFullError):
        await (await line.join("high", priority=100))
    assert not low.done()


async def test_a_reader_who_leaves_frees_the_place_in_the_queue() -> None:
    line = Line(most=1)
    task = await line.join("a")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert line.queue.waiting == 0
    line.free()
    assert (line.room.taken, line.room.places) == ([], 1)


async def test_what_comes_too_late_for_a_reader_is_given_back() -> None:
    line = Line()
    task = await line.join("a")
    line.free()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (line.room.taken, line.room.given_back) == (["a"], ["a"])


async def test_a_place_is_not_given_to_a_reader_who_has_just_left() -> None:
    line = Line()
    first, second = await line.join("a"), await line.join("b")
    first.cancel()
    line.free()
    assert await second == "b"
    assert line.room.taken == ["b"]


async def test_nobody_waits_for_longer_than_the_longest_wait() -> None:
    line = Line()
    line.queue.configure(max_requests=10, max_wait_s=0.01, priorities=(0,))
    with pytest.raises(QueueTimeoutError, match=r"within 0\.01 s"):
        await (await line.join("a"))
    assert line.queue.waiting == 0


async def test_time_spent_elsewhere_counts() -> None:
    line = Line()
    with pytest.raises(QueueTimeoutError):
        await line.queue.take(
            line.room.attempt("a"), give_back=len, priority=0, lane="m", since=line.clock() - MAX_WAIT_S
        )


async def test_an_error_of_an_attempt_is_its_own_waiters() -> None:
    line = Line()
    places: list[str] = []

    def attempt() -> str | None:
        if places:
            raise QueueTimeoutError("the model is gone")
        return None

    failing = asyncio.ensure_future(
        line.queue.take(attempt, give_back=len, priority=100, lane="gone", since=line.clock())
    )
    await asyncio.sleep(0)
    other = await line.join("b")
    places.append("")
    line.free()
    assert await other == "b"
    with pytest.raises(QueueTimeoutError, match="the model is gone"):
        await failing


arrivals = st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 100)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(arrivals=arrivals)
def test_the_order_keeps_the_law_of_ageing(arrivals: list[tuple[float, int]]) -> None:
    async def serve() -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
        line = Line()
        came: dict[str, tuple[float, int]] = {}
        tasks = []
        for index, (pause, priority) in enumerate(arrivals):
            line.clock.now += pause
            came[str(index)] = (line.clock(), priority)
            tasks.append(await line.join(str(index), priority=priority))
        line.free(len(tasks))
        await asyncio.gather(*tasks)
        return list(came.values()), [came[name] for name in line.room.taken]

    came, served = asyncio.run(serve())
    assert sorted(served) == sorted(came)
    for index, (first_at, first_priority) in enumerate(served):
        for at, priority in served[index + 1 :]:
            # Whoever goes first came first, or has a head start that makes up for it.
            assert first_at <= at + (first_priority - priority) / 100 * MAX_WAIT_S / 2 + 1e-6


@settings(max_examples=40, deadline=None)
@given(priorities=st.lists(st.integers(0, 100), max_size=40), most=st.integers(0, 8))
def test_never_more_wait_than_may_and_who_is_shed_would_go_last(priorities: list[int], most: int) -> None:
    async def fill() -> tuple[list[int], list[int]]:
        line = Line(most=most)
        tasks = []
        for index, priority in enumerate(priorities):
            tasks.append(await line.join(str(index), priority=priority))
            await asyncio.sleep(0)
            assert line.queue.waiting <= most
        shed = [priority for task, priority in zip(tasks, priorities, strict=True) if task.done()]
        kept = [priority for task, priority in zip(tasks, priorities, strict=True) if not task.done()]
        line.free(len(tasks))
        await asyncio.gather(*tasks, return_exceptions=True)
        return shed, kept

    shed, kept = asyncio.run(fill())
    assert len(kept) == min(most, len(priorities))
    assert max(shed, default=-1) <= min(kept, default=101)


@settings(max_examples=30, deadline=None)
@given(rivals=st.integers(1, 12))
def test_the_lowest_is_served_within_its_deadline_under_a_flood_of_the_highest(rivals: int) -> None:
    """As many of the highest priority come every second as are served: the lowest waits for the head start."""

    async def flood() -> float:
        line = Line(most=10_000)
        tasks = [await line.join("low", priority=0)]
        began = line.clock()
        while "low" not in line.room.taken:
            tasks += [await line.join(f"{line.clock()}-{index}", priority=100) for index in range(rivals)]
            line.clock.now += 1
            line.free(rivals)
            assert line.clock() - began < 60
        waited = line.clock() - began
        line.free(len(tasks))
        await asyncio.gather(*tasks)
        return waited

    assert asyncio.run(flood()) <= MAX_WAIT_S / 2 + 1
