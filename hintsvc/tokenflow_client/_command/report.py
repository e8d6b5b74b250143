"""What a run of the load generator found."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from tokenflow_client._command import measures
from tokenflow_client._command.load import Outcome, Run

LATE_S: Final = 0.01
"""A generator whose loop is later than this, at the 99th percentile, adds to what it measures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How a time is spread, in seconds; ``None`` where nothing was measured."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values."""
        p50, p90, p99, most = (measures.percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0))
        return cls(p50=p50, p90=p90, p99=p99, max=most)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """What somebody who reads at one rate had of the streams.

    Attributes:
        rate: tokens per second that they read.
        stall_ratio: share of their reading time in which they waited.
        stalls: waits that they noticed.
        stalled_s: seconds that they waited.
        quality: mean quality of experience, failed requests counting as none.
        on_time: share of the tokens that were there when due.
        effective_tokens_per_second: tokens that all of them together began to read in each second of the run.
    """

    rate: float
    stall_ratio: float
    stalls: int
    stalled_s: float
    quality: float
    on_time: float
    effective_tokens_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """What the generator itself did to the figures.

    Attributes:
        lag: how late its loop was.
        held_back: requests that were due while ``--max-streams`` were open; they count from when they were due.
        never_started: requests whose turn never came.
        late: whether its lag is in the figures.
    """

    lag: Spread
    held_back: int
    never_started: int
    late: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The figures of a run; times in seconds.

    Attributes:
        seconds: how long it took.
        requests: requests that ended, or whose turn never came.
        errors: those that failed, by what went wrong.
        tokens: tokens that arrived.
        tokens_per_second: over the whole run.
        bytes_per_token: bytes of body for each token.
        first_token: time to the first token, from when a request was due.
        gap: time between two events with tokens.
        completion: time to the end, of requests that ended well, from when they were due.
        readers: one for each reading rate.
        fairness: Jain's index over the tenants' mean rate of a stream; ``None`` of fewer than two.
        generator: what the generator itself did to the figures.
    """

    seconds: float
    requests: int
    errors: dict[str, int]
    tokens: int
    tokens_per_second: float
    bytes_per_token: float | None
    first_token: Spread
    gap: Spread
    completion: Spread
    readers: list[Reader]
    fairness: float | None
    generator: Lateness


def report(run: Run, *, end_s: float, reading_rates: Sequence[float], first_token_s: float) -> Report:
    """Sum up a run that ended at ``end_s``.

    Args:
        run: what happened.
        end_s: when, on the generator's clock.
        reading_rates: tokens per second of the readers to imagine.
        first_token_s: seconds in which they expect the first token.
    """
    outcomes = run.outcomes
    seconds = end_s - run.start_s
    streams = [outcome.arrivals for outcome in outcomes]
    events = [arrival for stream in streams for arrival in stream]
    tokens = sum(arrival.tokens for arrival in events)
    firsts = (measures.first_token(each.arrivals, start_s=each.start_s) for each in outcomes)
    lag = Spread.of(run.lags_s)
    return Report(
        seconds=seconds,
        requests=len(outcomes),
        errors=dict(Counter(outcome.error for outcome in outcomes if outcome.error)),
        tokens=tokens,
        tokens_per_second=tokens / seconds if seconds > 0 else 0.0,
        bytes_per_token=measures.bytes_per_token(events),
        first_token=Spread.of([first for first in firsts if first is not None]),
        gap=Spread.of([gap for stream in streams for gap in measures.gaps(stream)]),
        completion=Spread.of([each.end_s - each.start_s for each in outcomes if not each.error]),
        readers=[
            _reader(outcomes, rate=rate, first_token_s=first_token_s, start_s=run.start_s, end_s=end_s)
            for rate in reading_rates
        ],
        fairness=_fairness(outcomes),
        generator=Lateness(
            lag=lag,
            held_back=run.held_back,
            never_started=run.never_started,
            late=lag.p99 is not None and lag.p99 > LATE_S,
        ),
    )


def _reader(outcomes: Sequence[Outcome], *, rate: float, first_token_s: float, start_s: float, end_s: float) -> Reader:
    waits = [measures.stalls(each.arrivals, rate=rate, end_s=each.end_s if each.error else None) for each in outcomes]
    reading_s = sum(wait.reading_s for wait in waits)
    tokens = sum(arrival.tokens for each in outcomes for arrival in each.arrivals)
    on_time = sum(measures.on_time(each.arrivals, rate=rate) for each in outcomes)
    read = sum(measures.read_by(each.arrivals, rate=rate, until_s=end_s) for each in outcomes)
    qualities = [
        measures.quality(each.arrivals, start_s=each.start_s, rate=rate, first_token_s=first_token_s)
        if not each.error
        else 0.0
        for each in outcomes
    ]
    stalled_s = sum(wait.waited_s for wait in waits)
    return Reader(
        rate=rate,
        stall_ratio=stalled_s / reading_s if reading_s else 0.0,
        stalls=sum(wait.count for wait in waits),
        stalled_s=stalled_s,
        quality=fmean(qualities) if qualities else 0.0,
        on_time=on_time / tokens if tokens else 0.0,
        effective_tokens_per_second=read / (end_s - start_s) if end_s > start_s else 0.0,
    )


def _fairness(outcomes: Sequence[Outcome]) -> float | None:
    tokens, seconds = defaultdict[int, int](int), defaultdict[int, float](float)
    for each in outcomes:
        tenant = each.request.tenant
        tokens[tenant] += sum(arrival.tokens for arrival in each.arrivals)
        seconds[tenant] += each.end_s - each.start_s
    rates = [tokens[tenant] / seconds[tenant] for tenant in seconds if seconds[tenant] > 0]
    return measures.jain(rates) if len(rates) > 1 else None
