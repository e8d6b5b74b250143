"""Streams of server-sent events: the kernel sums them up, this takes the sums over once per window and at the end."""

import struct
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add, ge, sub
from typing import Final, NamedTuple, Protocol, Self

from tokenflow_agent.l7.record import Record
from tokenflow_agent.l7.tally import HttpKey, Tallies, no_samples
from tokenflow_agent.tcp.histogram import BUCKETS, bucket

MAX_STREAMS: Final = 4096
SUMS: Final = struct.Struct(f"=QQQQ{BUCKETS * 4}s")
"""The sums of a stream, as laid out in ``exchange.h``."""


class Sums(NamedTuple):
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

    @classmethod
    def of(cls, record: Record) -> Self | None:
        """Return those that come with a record; ``None`` where the kernel had them no more."""
        if len(record.response) != SUMS.size:
            return None
        first_ns, _, events, size, gaps = SUMS.unpack(record.response)
        return cls(first_ns, events, size, memoryview(gaps).cast("I"))

    def follow(self, taken: Self) -> bool:
        """Whether they go on from those taken before."""
        return self.size >= taken.size and self.events >= taken.events and all(map(ge, self.gaps, taken.gaps))


_NONE: Final = Sums(first_ns=0, events=0, size=0, gaps=no_samples())


class Counter(Protocol):
    """Whoever sums up streams."""

    def stream(self, connection: int) -> Record | None:
        """Return the stream that is under way on a connection, with its sums; ``None`` where there is none."""


@dataclass(slots=True)
class _Open:
    key: HttpKey
    started_ns: int
    taken: Sums = _NONE


class Streams:
    """The streams that are open now, at most ``MAX_STREAMS``: of more, the oldest is forgotten.

    Args:
        counter: sums them up.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._open: OrderedDict[int, _Open] = OrderedDict()

    def opened(self, record: Record, key: HttpKey, tallies: Tallies) -> None:
        """Follow a stream; the one that is forgotten for it is counted as lost."""
        self._open[record.connection] = _Open(key, record.started_ns)
        self._open.move_to_end(record.connection)
        if len(self._open) > MAX_STREAMS:
            self._open.popitem(last=False)
            tallies.lost["StreamsFull"] += 1

    def ended(self, record: Record, tallies: Tallies) -> HttpKey | None:
        """Take over the last sums of a stream; return what it was counted by, ``None`` where it is unknown.

        Sums that do not go on from those taken before are another's, and counted as lost.
        """
        stream = self._open.get(record.connection)
        if stream is None or stream.started_ns != record.started_ns:
            return None
        del self._open[record.connection]
        sums = Sums.of(record)
        if sums and not sums.follow(stream.taken):
            tallies.lost["StreamUnknown"] += 1
        elif sums:
            _take(sums, stream, tallies)
        return stream.key

    def take(self, tallies: Tallies) -> None:
        """Take over the sums of all that are open.

        One that has ended, whose record waits in the buffer, has its last sums there: the kernel tells of the next
        stream of its connection already, or of none.
        """
        for connection, stream in self._open.items():
            record = self._counter.stream(connection)
            sums = Sums.of(record) if record and record.started_ns == stream.started_ns else None
            # A place in the kernel's table may be given to another stream while it is read.
            if sums and sums.follow(stream.taken):
                _take(sums, stream, tallies)


def _take(sums: Sums, stream: _Open, tallies: Tallies) -> None:
    """Take over what is new."""
    taken = stream.taken
    if sums.size == taken.size:
        return
    row = tallies.http_row(stream.key)
    if row is None:
        return
    if sums.first_ns and not taken.first_ns:
        row.first_events[bucket(max(0, sums.first_ns - stream.started_ns) // 1000)] += 1
    row.events += sums.events - taken.events
    row.event_bytes += sums.size - taken.size
    row.gaps = array(row.gaps.typecode, map(add, row.gaps, map(sub, sums.gaps, taken.gaps)))
    stream.taken = sums
