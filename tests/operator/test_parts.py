import asyncio

import pytest

from tokenflow_operator.errors import PartEndedError
from tokenflow_operator.parts import first, lasting, together


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


@pytest.mark.parametrize("part", [_cancelled_from_within, _end])
async def test_a_part_that_goes_quietly_is_missed(part) -> None:
    with pytest.raises(PartEndedError):
        await lasting(_for_ever([]), part())


async def test_cancelling_the_whole_ends_all() -> None:
    ended: list[str] = []
    whole = asyncio.create_task(lasting(_for_ever(ended), _for_ever(ended)))
    await asyncio.sleep(0.01)
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
