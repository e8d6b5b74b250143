"""Asks a running agent for its windows again and again, also while it is away."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from tokenflow_agent.commands.feed import Feed
from tokenflow_agent.errors import AwayError
from tokenflow_api.backoff import Backoff
from tokenflow_api.telemetry import TelemetryBatch


@dataclass(frozen=True, slots=True)
class Poll:
    """What one question brought.

    Attributes:
        batches: new windows.
        trouble: why there is no answer, in a sentence; empty where there is one.
    """

    batches: Sequence[TelemetryBatch] = ()
    trouble: str = ""


def polls(
    feed: Feed,
    *,
    interval_s: float,
    duration_s: float = inf,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Poll]:
    """Yield what each question brings, for ``duration_s`` seconds; the last question is asked at their end.

    Args:
        feed: whom to ask.
        interval_s: pause after an answer; without one it grows from failure to failure.
        duration_s: how long.
        clock: monotonic, in seconds.
        sleep: waits.
    """
    end = clock() + duration_s
    backoff = Backoff(first_s=2 * interval_s)
    while True:
        pause = interval_s
        try:
            poll = Poll(feed.fresh())
            backoff.succeeded()
        except AwayError as error:
            pause = max(pause, backoff.failed())
            poll = Poll(trouble=f"{error}; asking again in {pause:.0f} s")
        yield poll
        left = end - clock()
        if left <= 0:
            return
        sleep(min(pause, left))
