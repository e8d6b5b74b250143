"""Streams of server-sent events that are open: the kernel counts, this takes the counts over once per window."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import ge, sub
from typing import Final, Protocol

from tokenflow_agent.l7.record import Record
from tokenflow_agent.l7.tally import HttpKey, Tallies, no_samples
from tokenflow_agent.tcp.histogram import bucket

MAX_STREAMS: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamCounts:
    """What the kernel counted of a stream since it was opened.

    Attributes:
        first_ns: the first event, by the kernel's monotonic clock; 0 before it.
        events: how many.
        size: bytes of the body.
        gaps: times between two events, by bucket of the histogram.
    """

    first_ns: int
    events: int
    size: int
    gaps: Sequence[int]


_NONE: Final = StreamCounts(first_ns=0, events=0, size=0, gaps=no_samples())


class Counter(Protocol):
    """Whoever counts events of streams."""

    def stream(self, connection: int) -> StreamCounts | None:
        """Return what was counted since a stream was opened; ``None`` where it was forgotten."""


@dataclass(slots=True)
class _Open:
    key: HttpKey
    started_ns: int
    taken: StreamCounts = field(default=_NONE)


class Streams:
    """The streams that are open now, at most ``MAX_STREAMS``.

    Args:
        counter: counts their events.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._open: dict[int, _Open] = {}

    def opened(self, record: Record, key: HttpKey, tallies: Tallies) -> None:
        """Follow a stream; one too many is counted as lost."""
        if len(self._open) >= MAX_STREAMS:
            tallies.lost["StreamsFull"] += 1
            return
        self._open[record.connection] = _Open(key, record.started_ns)

    def ended(self, record: Record, tallies: Tallies) -> HttpKey | None:
        """Take over the last counts of a stream; return what it was counted by, ``None`` where it is unknown."""
        stream = self._open.pop(record.connection, None)
        if stream is None:
            return None
        if not self._take(record.connection, stream, tallies, until_ns=record.last_ns):
            tallies.lost["StreamReplaced"] += 1
        return stream.key

    def take(self, tallies: Tallies) -> None:
        """Take over the counts of all that are open."""
        for connection, stream in self._open.items():
            self._take(connection, stream, tallies)

    def _take(self, connection: int, stream: _Open, tallies: Tallies, *, until_ns: int | None = None) -> bool:
        """Take over what is new, and return whether the kernel still has the counts of this stream."""
        counts = self._counter.stream(connection)
        if counts is None or not _same(counts, stream.taken, until_ns=until_ns):
            return False
        row = tallies.http_row(stream.key) if counts.size > stream.taken.size else None
        if row is None:
            return True
        if counts.first_ns and not stream.taken.first_ns:
            row.first_events[bucket(max(0, counts.first_ns - stream.started_ns) // 1000)] += 1
        row.events += counts.events - stream.taken.events
        row.event_bytes += counts.size - stream.taken.size
        new = map(sub, counts.gaps, stream.taken.gaps)
        row.gaps = array(row.gaps.typecode, map(sum, zip(row.gaps, new, strict=True)))
        stream.taken = counts
        return True


def _same(counts: StreamCounts, taken: StreamCounts, *, until_ns: int | None) -> bool:
    """Whether counts go on from those taken before: the next stream on a kept connection begins them anew.

    Records wait in a buffer, so that it may have begun before the end of the one before is read here.
    """
    if taken.first_ns and counts.first_ns != taken.first_ns:
        return False
    if until_ns is not None and counts.first_ns > until_ns:
        return False
    # A place in the kernel's table may be given to another stream while it is read.
    return counts.size >= taken.size and counts.events >= taken.events and all(map(ge, counts.gaps, taken.gaps))
