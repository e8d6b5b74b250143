"""What a token stream was like for its reader, by the measures of the literature.

All times are seconds on one clock, all rates tokens per second. A reader reads at a steady rate: each token takes them
``1 / rate`` seconds, and where the next one has not arrived they wait.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

NOTICED_S: Final = 0.1
"""The shortest wait that a reader notices, so that it counts as a stall of its own."""

_TIE_S: Final = 1e-9
"""Sums of equal steps differ by rounding: a token is late only by more than this."""


class Arrival(NamedTuple):
    """An event of a stream: when it arrived, how many tokens it carried (0 for a comment), and its bytes of body."""

    at_s: float
    tokens: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stalls:
    """How a reader waited within a stream.

    Attributes:
        count: waits that are noticed.
        waited_s: seconds that they waited, in all.
        reading_s: seconds from the first token until the last was read, the waits among them.
    """

    count: int
    waited_s: float
    reading_s: float

    @property
    def ratio(self) -> float:
        """The share of the reading time that was waiting (the stall ratio of Eloquent, arXiv 2401.12961)."""
        return self.waited_s / self.reading_s if self.reading_s else 0.0


def first_token(arrivals: Sequence[Arrival], *, start_s: float) -> float | None:
    """Return the seconds from ``start_s`` to the first token; ``None`` where none came."""
    return next((arrival.at_s - start_s for arrival in arrivals if arrival.tokens), None)


def gaps(arrivals: Sequence[Arrival]) -> list[float]:
    """Return the seconds between each two events that carried tokens."""
    times = (arrival.at_s for arrival in arrivals if arrival.tokens)
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def stalls(arrivals: Sequence[Arrival], *, rate: float, end_s: float | None = None) -> Stalls:
    """Return how somebody who reads at ``rate`` waited after the first token.

    Args:
        arrivals: the stream, by time.
        rate: tokens per second.
        end_s: where the stream broke off, or was no longer watched: waiting until then counts. ``None`` where it ended
            well, and nothing more was to come.
    """
    count, waited, start, read_until = 0, 0.0, math.nan, math.nan
    for at_s, tokens, _ in arrivals:
        if not tokens:
            continue
        if math.isnan(start):
            start = read_until = at_s
        wait = max(0.0, at_s - read_until)
        count += wait >= NOTICED_S
        waited += wait
        read_until = max(read_until, at_s) + tokens / rate
    if math.isnan(start):
        return Stalls(count=0, waited_s=0.0, reading_s=0.0)
    if end_s is not None and end_s > read_until:
        count += end_s - read_until >= NOTICED_S
        waited += end_s - read_until
        read_until = end_s
    return Stalls(count=count, waited_s=waited, reading_s=read_until - start)


def on_time(arrivals: Sequence[Arrival], *, rate: float) -> int:
    """Return how many tokens were there when due: the one with number i is due i / rate after the first.

    As the smooth goodput of arXiv 2410.14257 has it: holding tokens back cannot improve it.
    """
    times = list(_token_times(arrivals))
    return sum(at_s <= times[0] + number / rate + _TIE_S for number, at_s in enumerate(times))


def quality(arrivals: Sequence[Arrival], *, start_s: float, rate: float, first_token_s: float) -> float:
    """Return the quality of experience of Andes (arXiv 2404.16283), 1 for a stream as expected, 0 for none.

    It is 1 - S_delay / S_whole: of the area under the expected timeline, the part that lies before the reader had
    read as far. What arrives early cannot be read faster than ``rate``, and earns nothing. The area reaches to the end
    of the reading, so a longer wait makes it larger too: judge by this together with the stalls, never alone.

    Args:
        arrivals: the stream, by time.
        start_s: when the request was made.
        rate: tokens per second that are expected, and can be read.
        first_token_s: seconds in which the first token is expected.
    """
    times = list(_token_times(arrivals))
    if not times:
        return 0.0
    expected = [start_s + first_token_s + number / rate for number in range(len(times))]
    read = list(_read_times(times, rate=rate))
    end = max(read[-1], expected[-1])
    delay = sum(max(0.0, actual - due - _TIE_S) for actual, due in zip(read, expected, strict=True))
    whole = sum(end - due for due in expected)
    return 1.0 - min(1.0, delay / whole) if delay else 1.0


def read_by(arrivals: Sequence[Arrival], *, rate: float, until_s: float) -> int:
    """Return how many tokens somebody who reads at ``rate`` had begun to read by ``until_s``.

    Summed over all streams and divided by the time watched, it is the effective throughput (arXiv 2510.02758): tokens
    count when they are of use, not when they pile up before the reader.
    """
    return sum(at_s <= until_s + _TIE_S for at_s in _read_times(_token_times(arrivals), rate=rate))


def ages(arrivals: Sequence[Arrival], *, generated_s: Sequence[float]) -> list[float]:
    """Return how old each token was when it arrived.

    Args:
        arrivals: the stream, by time.
        generated_s: when each of its tokens was generated, on the same clock; at least as many as arrived.
    """
    return [at_s - made_s for at_s, made_s in zip(_token_times(arrivals), generated_s, strict=False)]


def bytes_per_token(arrivals: Sequence[Arrival]) -> float | None:
    """Return the bytes of body for each token; ``None`` where none came."""
    tokens = sum(arrival.tokens for arrival in arrivals)
    return sum(arrival.size for arrival in arrivals) / tokens if tokens else None


def jain(shares: Sequence[float]) -> float | None:
    """Return Jain's index of fairness: 1 where all shares are equal, 1/n where one has all; ``None`` of no shares."""
    greatest = max(shares, default=0.0)
    if not greatest:
        return None
    # Scaled, as squares of small or great shares would leave the range of floats.
    scaled = [share / greatest for share in shares]
    return sum(scaled) ** 2 / (len(scaled) * sum(share * share for share in scaled))


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that ``share`` (0 to 1) of ``values`` do not exceed, interpolated; ``None`` of no values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _token_times(arrivals: Sequence[Arrival]) -> Iterator[float]:
    for at_s, tokens, _ in arrivals:
        yield from itertools.repeat(at_s, tokens)


def _read_times(times: Sequence[float] | Iterator[float], *, rate: float) -> Iterator[float]:
    free_s = -math.inf
    for at_s in times:
        begun = max(at_s, free_s)
        yield begun
        free_s = begun + 1 / rate
