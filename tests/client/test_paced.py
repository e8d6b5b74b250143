"""Paced streams in virtual time: nothing is lost, nobody is early, and sources are let go."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.virtual_time import run
from tokenflow_client import Options, PacedBatches, PacedStream, StreamInterruptedError, UsageError
from tokenflow_client._pacer import CATCH_UP_S, Pace
from tokenflow_client._sources import Sources

gaps = st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 2.0]), max_size=80)


@dataclass
class Going:
    """Stands for a session: what streams go by."""

    pace: Pace
    sources: Sources = field(default_factory=Sources)


class BrokenError(Exception):
    """The source broke."""


@dataclass
class Told:
    """A source that can be looked at."""

    gaps: list[float]
    error: Exception | None = None
    read: int = 0
    closed: bool = False

    async def items(self) -> AsyncIterator[int]:
        try:
            for number, gap in enumerate(self.gaps):
                if gap:
                    await asyncio.sleep(gap)
                self.read += 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.closed = True


def stream(told: Told, *, rate: float = 20.0, **options: object) -> PacedStream[int]:
    return PacedStream(told.items(), session=Going(Pace(tokens_per_second=rate)), options=Options(**options))  # type: ignore[arg-type]


def batches(told: Told, pace: Pace, **options: object) -> PacedBatches[int]:
    return PacedBatches(told.items(), session=Going(pace), options=Options(**options))  # type: ignore[arg-type]


def now() -> float:
    return asyncio.get_running_loop().time()


async def read(paced: PacedStream[int], pauses: list[float]) -> list[tuple[float, int]]:
    """Return the items and when they came; the consumer pauses between them."""
    found = list[tuple[float, int]]()
    for pause in itertools.chain(pauses, itertools.repeat(0.0)):
        try:
            item = await anext(paced)
        except StopAsyncIteration:
            break
        found.append((now(), item))
        await asyncio.sleep(pause)
    return found


@settings(deadline=None, max_examples=60)
@given(told=gaps, pauses=gaps, rate=st.floats(0.5, 500), buffer=st.integers(1, 20))
def test_items_keep_their_order_and_the_rate(told: list[float], pauses: list[float], rate: float, buffer: int) -> None:
    source = Told(told)

    async def work() -> list[tuple[float, int]]:
        return await read(stream(source, rate=rate, buffer=buffer), pauses)

    found = run(work())
    assert [item for _, item in found] == list(range(len(told)))
    times = [at for at, _ in found]
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= rate * (times[last] - begin + CATCH_UP_S) + 1 + 1e-6
    assert source.closed


@settings(deadline=None, max_examples=60)
@given(
    told=gaps,
    pauses=gaps,
    rate=st.floats(0.5, 500),
    size=st.integers(1, 16),
    delay_s=st.sampled_from([0.0, 0.05, 1.0]),
    breaks=st.booleans(),
)
def test_batches_keep_the_order_and_lose_nothing(
    told: list[float], pauses: list[float], rate: float, size: int, delay_s: float, breaks: bool
) -> None:
    source = Told(told, BrokenError() if breaks else None)
    pace = Pace(tokens_per_second=rate, batch_size=size, batch_delay_s=delay_s)

    async def collect() -> tuple[list[list[int]], bool]:
        found, paced = list[list[int]](), batches(source, pace)
        for pause in itertools.chain(pauses, itertools.repeat(0.0)):
            try:
                found.append(await anext(paced))
            except StopAsyncIteration:
                return found, False
            except BrokenError:
                return found, True
            await asyncio.sleep(pause)
        raise AssertionError

    found, broke = run(collect())
    assert [item for batch in found for item in batch] == list(range(len(told)))
    assert broke is breaks
    assert all(1 <= len(batch) <= 64 for batch in found)
    assert not found or len(found[0]) == 1


def test_the_first_item_waits_for_nobody_and_the_others_for_their_time() -> None:
    async def work() -> list[float]:
        begin = now()
        return [at - begin for at, _ in await read(stream(Told([0.0] * 4), rate=10.0), [])]

    assert run(work()) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_full_buffer_holds_the_source_back() -> None:
    async def work() -> None:
        source = Told([0.0] * 100)
        paced = stream(source, rate=1.0, buffer=5)
        for taken in range(1, 20):
            await anext(paced)
            await asyncio.sleep(0.5)
            # One more is in the hands of the task that found the buffer full.
            assert source.read <= taken + 5 + 1

    run(work())


def test_the_hints_batch_is_waited_for_and_no_longer_than_it_allows() -> None:
    async def work(told: list[float], pace: Pace) -> list[list[int]]:
        return [batch async for batch in batches(Told(told), pace)]

    steady = Pace(tokens_per_second=100.0, batch_size=4, batch_delay_s=1.0)
    assert run(work([0.01] * 9, steady)) == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    late = Pace(tokens_per_second=100.0, batch_size=4, batch_delay_s=0.5)
    assert run(work([0.0, 0.0, 0.0, 2.0], late)) == [[0], [1, 2], [3]]


def test_a_consumer_that_is_slow_is_given_more_at_once() -> None:
    async def work() -> list[int]:
        sizes = []
        async for batch in batches(Told([0.0] * 200), Pace(tokens_per_second=20.0)):
            sizes.append(len(batch))
            await asyncio.sleep(0.5)
        return sizes

    sizes = run(work())
    assert sizes[:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    # What the pace brings in one pause is 10; more is taken only to make up for late turns.
    assert max(sizes) <= 13


def test_after_an_outage_the_clock_has_stood_still_or_what_was_missed_is_made_up_for() -> None:
    gone = [0.0] * 11 + [10.0] + [0.0] * 149

    async def work(*, pause_on_outage: bool) -> float:
        paced = stream(Told(gone), rate=10.0, pause_on_outage=pause_on_outage)
        found = await read(paced, [])
        return found[-1][0] - found[11][0]

    assert run(work(pause_on_outage=True)) == pytest.approx(14.9 - CATCH_UP_S)
    assert run(work(pause_on_outage=False)) == pytest.approx(16.0 - 10.0)


def test_a_call_that_is_given_up_loses_nothing() -> None:
    async def work() -> list[int]:
        paced, found = stream(Told([0.07] * 30), rate=20.0), list[int]()
        while len(found) < 30:
            try:
                async with asyncio.timeout(0.03):
                    found.append(await anext(paced))
            except TimeoutError:
                continue
        return found

    assert run(work()) == list(range(30))


def test_a_sources_error_comes_after_its_items_and_once() -> None:
    async def work() -> None:
        source = Told([0.0, 0.0], BrokenError("cut"))
        paced = stream(source)
        assert [await anext(paced), await anext(paced)] == [0, 1]
        with pytest.raises(BrokenError, match="cut"):
            await anext(paced)
        with pytest.raises(StopAsyncIteration):
            await anext(paced)
        assert source.closed

    run(work())


@pytest.mark.parametrize("items", [0, 3])
def test_closing_closes_the_source(items: int) -> None:
    async def work() -> None:
        source = Told([0.0] * 1000)
        async with stream(source, buffer=2) as paced:
            for _ in range(items):
                await anext(paced)
        assert source.closed is bool(items)
        with pytest.raises(StopAsyncIteration):
            await anext(paced)

    run(work())


def test_a_source_that_cannot_be_closed_is_told() -> None:
    async def stubborn() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise BrokenError("still open")

    async def work() -> None:
        paced = PacedStream(stubborn(), session=Going(Pace(tokens_per_second=1.0)), options=Options(buffer=1))  # type: ignore[arg-type]
        await anext(paced)
        with pytest.raises(BrokenError, match="still open"):
            await paced.aclose()

    run(work())


def test_a_source_that_is_closing_already_is_waited_for() -> None:
    class Slow:
        closed = False

        def __init__(self) -> None:
            self._items = iter([1])

        def __aiter__(self) -> "Slow":
            return self

        async def __anext__(self) -> int:
            for item in self._items:
                return item
            raise StopAsyncIteration

        async def aclose(self) -> None:
            await asyncio.sleep(1.0)
            self.closed = True

    async def work() -> None:
        source = Slow()
        paced = PacedStream(source, session=Going(Pace(tokens_per_second=1.0)), options=Options())  # type: ignore[arg-type]
        await anext(paced)
        await asyncio.sleep(0.1)
        await paced.aclose()
        assert source.closed

    run(work())


def test_a_source_that_was_called_off_itself_is_told_after_its_items() -> None:
    async def told() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise asyncio.CancelledError("the source's own")

    async def work() -> None:
        for buffer in (1, 9):
            paced = PacedStream(
                told(),
                session=Going(Pace(tokens_per_second=1.0)),  # type: ignore[arg-type]
                options=Options(buffer=buffer),
            )
            assert [await anext(paced), await anext(paced)] == [1, 2]
            with pytest.raises(asyncio.CancelledError, match="the source's own"):
                await anext(paced)
            with pytest.raises(StopAsyncIteration):
                await anext(paced)

    run(work())


def test_breaking_off_lets_the_source_go() -> None:
    async def work() -> None:
        source = Told([0.0] * 1000)
        async for _ in stream(source, buffer=2):
            break
        gc.collect()
        await asyncio.sleep(0.01)
        assert source.closed

    run(work())


def test_whoever_waits_for_a_stream_that_is_closed_is_told() -> None:
    async def work() -> None:
        paced = stream(Told([0.0, 1e6]))
        await anext(paced)
        waiting = asyncio.create_task(anext(paced))  # type: ignore[arg-type]
        await asyncio.sleep(1)
        await paced.aclose()
        with pytest.raises(UsageError, match="closed"):
            await waiting

    run(work())


class DrainingError(Exception):
    """As openai raises it."""

    code = "gateway_draining"


@pytest.mark.parametrize(("kept", "text"), [(10, "the packet"), (9, "")])
def test_a_stream_that_a_leaving_gateway_ended_tells_what_it_had_said(
    monkeypatch: pytest.MonkeyPatch, kept: int, text: str
) -> None:
    monkeypatch.setattr("tokenflow_client._transcript.MAX_CHARACTERS", kept)

    async def source() -> AsyncIterator[str]:
        yield "the "
        yield "packet"
        raise DrainingError

    async def work() -> None:
        session = Going(Pace(tokens_per_second=100.0))
        with pytest.raises(StreamInterruptedError) as raised:
            async for _ in PacedStream(source(), session=session, options=Options()):  # type: ignore[arg-type]
                pass
        assert (raised.value.text, raised.value.tokens) == (text, 2)

    run(work())
