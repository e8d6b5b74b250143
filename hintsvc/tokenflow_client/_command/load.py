"""An open loop: requests start when they are due, whether or not earlier ones have ended.

A request that has to wait for its turn counts from when it was due, so that a slow endpoint cannot hide its slowness
by slowing its tester (coordinated omission).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tokenflow_client._command.demand import Request
from tokenflow_client._command.measures import Arrival

TICK_S: Final = 0.02


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What became of a request; times are seconds on the generator's clock.

    Attributes:
        request: which one.
        start_s: when it was due.
        end_s: when it had ended.
        arrivals: the events of its stream.
        error: what went wrong; empty where nothing did.
    """

    request: Request
    start_s: float
    end_s: float
    arrivals: Sequence[Arrival] = ()
    error: str = ""


@dataclass(kw_only=True, slots=True)
class Run:
    """A run of the generator.

    Attributes:
        start_s: when it began.
        outcomes: of the requests that ended, and as failed of those whose turn never came.
        held_back: requests that were due while all streams were open.
        never_started: requests whose turn never came.
        lags_s: how late the generator's own loop was, each ``TICK_S``.
    """

    start_s: float
    outcomes: list[Outcome] = field(default_factory=list)
    held_back: int = 0
    never_started: int = 0
    lags_s: list[float] = field(default_factory=list)


Send = Callable[[Request, float], Awaitable[Outcome]]


class Generator:
    """Makes the requests of a plan.

    Args:
        send: makes one request, which was due at the given time; tells a failure in its outcome.
        max_streams: streams open at once; more requests wait for their turn.
        clock: monotonic, in seconds.
        sleep: lets that many seconds pass.
    """

    def __init__(
        self,
        send: Send,
        *,
        max_streams: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send = send
        self._slots = asyncio.Semaphore(max_streams)
        self._clock = clock
        self._sleep = sleep
        self.run = Run(start_s=clock())

    async def play(self, plan: Sequence[Request], *, patience_s: float) -> None:
        """Make all requests, and wait for their ends.

        Args:
            plan: the requests, by time.
            patience_s: seconds after the last is due in which the ones held back may still start.
        """
        watching = asyncio.create_task(self._watch())
        try:
            await self._make(plan, patience_s=patience_s)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _make(self, plan: Sequence[Request], *, patience_s: float) -> None:
        sending: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            # One that failed stays, so that its failure is raised in the end.
            if task.cancelled() or task.exception() is None:
                sending.discard(task)

        begun = 0
        try:
            async with asyncio.timeout(plan[-1].at_s + patience_s if plan else None):
                for request in plan:
                    await self._turn(self.run.start_s + request.at_s)
                    begun += 1
                    task = asyncio.create_task(self._one(request))
                    sending.add(task)
                    task.add_done_callback(ended)
        except TimeoutError:
            self.run.never_started = len(plan) - begun
            self._give_up(plan[begun:])
        except asyncio.CancelledError:
            for task in sending:
                task.cancel()
            raise
        finally:
            failures = await asyncio.gather(*sending, return_exceptions=True)
        for failure in failures:
            if isinstance(failure, BaseException):
                raise failure

    async def _turn(self, due_s: float) -> None:
        """Wait until a request is due, and a stream is free for it."""
        ahead_s = due_s - self._clock()
        if ahead_s > 0:
            await self._sleep(ahead_s)
        self.run.held_back += self._slots.locked()
        await self._slots.acquire()

    async def _one(self, request: Request) -> None:
        try:
            self.run.outcomes.append(await self._send(request, self.run.start_s + request.at_s))
        finally:
            self._slots.release()

    def _give_up(self, requests: Sequence[Request]) -> None:
        """Count as failed those whose turn never came: left out, they would make a slow endpoint look better."""
        now = self._clock()
        self.run.outcomes += [
            Outcome(request=each, start_s=self.run.start_s + each.at_s, end_s=now, error="never started")
            for each in requests
        ]

    async def _watch(self) -> None:
        while True:
            before = self._clock()
            await self._sleep(TICK_S)
            self.run.lags_s.append(self._clock() - before - TICK_S)
