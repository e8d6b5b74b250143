"""Streams of events, whose counts the kernel holds by connection."""

from dataclasses import replace

from tests.agent.l7.hostile import record
from tokenflow_agent.l7.record import Kind, Protocol
from tokenflow_agent.l7.streams import StreamCounts, Streams
from tokenflow_agent.l7.tally import HttpKey, HttpRow, Place, Tallies
from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_api.windows import Direction, HttpProtocol

PLACE = Place(cgroup=1, network=2, direction=Direction.SERVED, port=8000)
OLD = HttpKey(place=PLACE, tls=False, protocol=HttpProtocol.HTTP1, method="POST", route="/old", status="200")
NEW = OLD._replace(route="/new")
OPENED = record(Protocol.HTTP1, Kind.STREAM_OPENED, b"")
ENDED = record(Protocol.HTTP1, Kind.STREAM_ENDED, b"")


class Kernel:
    """Counts as the test says."""

    def __init__(self) -> None:
        self.counts: StreamCounts | None = None

    def stream(self, connection: int) -> StreamCounts | None:
        assert connection == OPENED.connection
        return self.counts


def counted(events: int, *, first_ns: int = 3_000_000) -> StreamCounts:
    """Return counts of so many events with 10 bytes each, close to each other."""
    return StreamCounts(first_ns=first_ns, events=events, size=10 * events, gaps=[events - 1, *[0] * (BUCKETS - 1)])


def row(tallies: Tallies, key: HttpKey) -> HttpRow:
    found = tallies.http_row(key)
    assert found
    return found


def test_what_was_counted_is_taken_over_once() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    for kernel.counts in (counted(2), counted(5), counted(5)):
        streams.take(tallies)
    kernel.counts = counted(6)
    assert streams.ended(ENDED, tallies) == OLD
    of_it = row(tallies, OLD)
    assert (of_it.events, of_it.event_bytes, of_it.gaps[0], sum(of_it.first_events)) == (6, 60, 5, 1)
    assert not tallies.lost


def test_the_next_stream_of_a_connection_is_not_taken_for_the_one_before() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    kernel.counts = counted(5)
    streams.take(tallies)
    # It began, and got far, before the end of the one before was read.
    kernel.counts = replace(counted(9, first_ns=20_000_000), gaps=[0, 8, *[0] * (BUCKETS - 2)])
    streams.take(tallies)
    assert streams.ended(ENDED, tallies) == OLD
    streams.opened(OPENED, NEW, tallies)
    streams.take(tallies)
    assert (row(tallies, OLD).events, row(tallies, NEW).events) == (5, 9)
    assert tallies.lost == {"StreamReplaced": 1}


def test_a_short_stream_does_not_take_over_what_came_after_its_end() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    kernel.counts = counted(9, first_ns=ENDED.last_ns + 1)
    streams.ended(ENDED, tallies)
    assert row(tallies, OLD).events == 0
    assert tallies.lost == {"StreamReplaced": 1}


def test_counts_that_are_gone_are_counted_as_lost() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    assert streams.ended(ENDED, tallies) == OLD
    assert tallies.lost == {"StreamReplaced": 1}
