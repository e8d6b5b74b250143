"""What a reader saw of a stream, as figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Final

STALL_RATE: Final = 10.0
"""Tokens per second at which the imagined person reads."""

_MIN_FOR_QUANTILES: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An event with tokens.

    Attributes:
        at: when it arrived, in seconds on the reader's monotonic clock.
        stream: which stream it belongs to.
        tokens: how many tokens it carried.
        size: how many bytes of HTTP body it took.
    """

    at: float
    stream: int
    tokens: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What several streams together looked like.

    Attributes:
        tokens: tokens that arrived.
        gap_p50_s: median time between two events of a stream, in seconds.
        gap_p99_s: the same at the 99th percentile.
        gap_max_s: the longest.
        stall_ratio: share of the reading time that a person at ``STALL_RATE`` waited.
        bytes_per_token: HTTP body bytes for each token.
    """

    tokens: int
    gap_p50_s: float
    gap_p99_s: float
    gap_max_s: float
    stall_ratio: float
    bytes_per_token: float


def figures(arrivals: Sequence[Arrival], *, until: float) -> Figures:
    """Sum up the arrivals of several streams that were watched until ``until``."""
    streams: dict[int, list[Arrival]] = {}
    for arrival in arrivals:
        streams.setdefault(arrival.stream, []).append(arrival)
    gaps = [
        later - earlier
        for stream in streams.values()
        for earlier, later in zip(
            [a.at for a in stream], [*[a.at for a in stream[1:]], max(until, stream[-1].at)], strict=True
        )
    ]
    waited = [stall_time(stream, until=until) for stream in streams.values()]
    watched = sum(max(0.0, until - stream[0].at) for stream in streams.values())
    tokens = sum(a.tokens for a in arrivals)
    cuts = quantiles(gaps, n=100, method="inclusive") if len(gaps) >= _MIN_FOR_QUANTILES else [0.0] * 99
    return Figures(
        tokens=tokens,
        gap_p50_s=cuts[49],
        gap_p99_s=cuts[98],
        gap_max_s=max(gaps, default=0.0),
        stall_ratio=sum(waited) / watched if watched else 0.0,
        bytes_per_token=sum(a.size for a in arrivals) / tokens if tokens else 0.0,
    )


def stall_time(arrivals: Sequence[Arrival], *, until: float, rate: float = STALL_RATE) -> float:
    """Return the seconds that a person reading ``rate`` tokens per second waited with nothing to read.

    The reading starts with the first token; after each stall it goes on from what then arrives.
    Follows the stall time of Eloquent (arXiv 2401.12961).
    """
    if not arrivals:
        return 0.0
    waited = 0.0
    read_until = arrivals[0].at
    for arrival in arrivals:
        if arrival.at >= until:
            break
        waited += max(0.0, arrival.at - read_until)
        read_until = max(read_until, arrival.at) + arrival.tokens / rate
    return waited + max(0.0, until - read_until)
