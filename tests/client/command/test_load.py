"""The open loop: requests start when they are due, and count from then."""

import asyncio
from dataclasses import replace

import pytest

from tests.client.command.clock import Clock
from tokenflow_client._command.demand import Request
from tokenflow_client._command.load import Generator, Outcome

REQUEST = Request(at_s=0.0, tenant=0, prompt_tokens=1, output_tokens=1, seed=1)


class Endpoint:
    """Answers each request after some seconds."""

    def __init__(self, clock: Clock, *, takes_s: float) -> None:
        self._clock = clock
        self._takes_s = takes_s
        self.begun: list[float] = []

    async def send(self, request: Request, due_s: float) -> Outcome:
        self.begun.append(self._clock())
        await self._clock.sleep(self._takes_s)
        return Outcome(request=request, start_s=due_s, end_s=self._clock())


def plan(*times: float) -> list[Request]:
    return [replace(REQUEST, at_s=at_s) for at_s in times]


async def test_a_slow_endpoint_does_not_slow_the_load() -> None:
    clock = Clock()
    endpoint = Endpoint(clock, takes_s=10.0)
    generator = Generator(endpoint.send, max_streams=10, clock=clock, sleep=clock.sleep)
    await clock.run(generator.play(plan(0.0, 1.0, 2.0), patience_s=60.0))
    assert endpoint.begun == [0.0, 1.0, 2.0]
    assert [outcome.end_s - outcome.start_s for outcome in generator.run.outcomes] == [10.0, 10.0, 10.0]
    assert generator.run.held_back == 0


async def test_what_waits_for_a_stream_counts_from_when_it_was_due() -> None:
    clock = Clock()
    endpoint = Endpoint(clock, takes_s=10.0)
    generator = Generator(endpoint.send, max_streams=1, clock=clock, sleep=clock.sleep)
    await clock.run(generator.play(plan(0.0, 1.0, 2.0), patience_s=60.0))
    assert endpoint.begun == [0.0, 10.0, 20.0]
    assert [outcome.end_s - outcome.start_s for outcome in generator.run.outcomes] == [10.0, 19.0, 28.0]
    assert generator.run.held_back == 2


async def test_whose_turn_never_comes_is_counted() -> None:
    async def never(request: Request, due_s: float) -> Outcome:
        await asyncio.sleep(0.2)
        return Outcome(request=request, start_s=due_s, end_s=due_s)

    generator = Generator(never, max_streams=1)
    await generator.play(plan(0.0, 0.0, 0.0), patience_s=0.05)
    errors = [outcome.error for outcome in generator.run.outcomes]
    assert (sorted(errors), generator.run.never_started) == (["", "never started", "never started"], 2)


async def test_a_generator_that_is_late_itself_knows_it() -> None:
    clock = Clock()
    generator = Generator(Endpoint(clock, takes_s=1.0).send, max_streams=1, clock=clock, sleep=clock.sleep)
    await clock.run(generator.play(plan(0.0), patience_s=1.0))
    assert max(generator.run.lags_s) == pytest.approx(0.0)

    async def oversleep(seconds: float) -> None:
        await clock.sleep(seconds + 0.3)

    late = Generator(Endpoint(clock, takes_s=1.0).send, max_streams=1, clock=clock, sleep=oversleep)
    await clock.run(late.play(plan(0.0), patience_s=1.0))
    assert max(late.run.lags_s) == pytest.approx(0.3)


async def test_cancelling_a_run_cancels_its_requests() -> None:
    ended = asyncio.Event()

    async def endless(_: Request, __: float) -> Outcome:
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    generator = Generator(endless, max_streams=1)
    playing = asyncio.create_task(generator.play(plan(0.0), patience_s=60.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert ended.is_set()


async def test_a_failure_of_the_generator_is_no_figure() -> None:
    async def broken(_: Request, __: float) -> Outcome:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await Generator(broken, max_streams=1).play(plan(0.0), patience_s=1.0)
