import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tokenflow_api.tasks import TaskEndedError, Tasks, first, lasting, together


async def _for_ever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("other")


async def _fail() -> None:
    raise KeyError("a defect")


async def _cancelled_from_within() -> None:
    raise asyncio.CancelledError


async def _end() -> None:
    await asyncio.sleep(0)


async def test_the_first_to_end_ends_the_others() -> None:
    ended: list[str] = []
    await first(_for_ever(ended), _end())
    assert ended == ["other"]


async def test_a_failure_ends_all_and_is_raised() -> None:
    ended: list[str] = []
    with pytest.raises(KeyError):
        await lasting(_for_ever(ended), _fail())
    assert ended == ["other"]


@pytest.mark.parametrize("work", [_cancelled_from_within, _end])
async def test_a_task_that_goes_quietly_is_missed(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with pytest.raises(TaskEndedError, match=work.__name__):
        await lasting(_for_ever([]), work())


async def test_cancelling_the_whole_ends_all() -> None:
    ended: list[str] = []
    whole = asyncio.create_task(lasting(_for_ever(ended), _for_ever(ended)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert ended == ["other", "other"]


async def test_works_side_by_side_all_end_and_the_first_error_is_told() -> None:
    done: list[str] = []

    async def work(name: str, error: Exception | None = None) -> str:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        done.append(name)
        return name

    assert await together(work("a"), work("b")) == ["a", "b"]
    with pytest.raises(ValueError, match="second"):
        await together(work("c"), work("d", ValueError("second")), work("e", KeyError("third")), work("f"))
    assert done == ["a", "b", "c", "f"]


async def test_an_event_ends_the_wait_and_the_tasks_go_on_until_their_block_ends() -> None:
    ended: list[str] = []
    tasks, asked, never = Tasks(), asyncio.Event(), asyncio.Event()
    async with tasks.beside(_for_ever(ended)):
        asyncio.get_running_loop().call_soon(asked.set)
        await tasks.until(asked, never)
        assert ended == []
    assert ended == ["other"]


@pytest.mark.parametrize(
    ("work", "error"), [(_fail, KeyError), (_cancelled_from_within, TaskEndedError), (_end, TaskEndedError)]
)
async def test_a_wait_ends_with_whichever_task_ends_of_whatever_block(
    work: Callable[[], Coroutine[Any, Any, None]], error: type[Exception]
) -> None:
    ended: list[str] = []
    tasks = Tasks()
    with pytest.raises(error):
        async with tasks.beside(work()), tasks.beside(_for_ever(ended)):
            await tasks.until(asyncio.Event())
    assert ended == ["other"]


async def test_blocks_end_their_tasks_from_the_inside_out() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append(name)

    tasks = Tasks()
    async with tasks.beside(work("outer")):
        async with tasks.beside(work("inner")):
            await asyncio.sleep(0)
        order.append("between")
    assert order == ["inner", "between", "outer"]


async def test_what_breaks_when_nobody_waits_is_told_at_the_end_of_the_block() -> None:
    drained = asyncio.Event()

    async def block() -> None:
        async with Tasks().beside(_fail()):
            await asyncio.sleep(0)
            drained.set()

    with pytest.raises(KeyError):
        await block()
    assert drained.is_set()


async def test_what_the_block_says_itself_comes_first() -> None:
    with pytest.raises(ValueError, match="of the block"):
        async with Tasks().beside(_for_ever([])):
            raise ValueError("of the block")
