"""Streams of events, whose sums the kernel holds while they go on and hands over when they end."""

from array import array

import pytest

from tests.agent.l7.hostile import record
from tokenflow_agent.l7.record import Kind, Protocol, Record
from tokenflow_agent.l7.streams import MAX_STREAMS, SUMS, Streams
from tokenflow_agent.l7.tally import HttpKey, HttpRow, Place, Tallies
from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_api.windows import Direction, HttpProtocol

PLACE = Place(cgroup=1, network=2, direction=Direction.SERVED, port=8000)
OLD = HttpKey(place=PLACE, tls=False, protocol=HttpProtocol.HTTP1, method="POST", route="/old", status="200")
NEW = OLD._replace(route="/new")
OPENED = record(Protocol.HTTP1, Kind.STREAM_OPENED, b"")
NEXT = OPENED._replace(started_ns=20_000_000)


class Kernel:
    """Has summed up what the test says."""

    def __init__(self) -> None:
        self.under_way: Record | None = None

    def stream(self, connection: int) -> Record | None:
        assert connection == OPENED.connection
        return self.under_way


def summed(opened: Record, events: int) -> Record:
    """Return a stream with so many events of 10 bytes each, close to each other."""
    first_ns = opened.started_ns + 2_000_000
    gaps = array("I", [events - 1, *[0] * (BUCKETS - 1)]).tobytes()
    return opened._replace(response=SUMS.pack(first_ns, first_ns, events, 10 * events, gaps))


def ended(opened: Record, events: int) -> Record:
    return summed(opened, events)._replace(kind=Kind.STREAM_ENDED)


def counted(tallies: Tallies, key: HttpKey) -> tuple[int, int, int, int]:
    """Return events, bytes, gaps and first events of a row."""
    row = tallies.http.get(key, HttpRow())
    return row.events, row.event_bytes, sum(row.gaps), sum(row.first_events)


def test_what_was_summed_up_is_taken_over_once() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    for events in (2, 5, 5):
        kernel.under_way = summed(OPENED, events)
        streams.take(tallies)
    assert counted(tallies, OLD) == (5, 50, 4, 1)
    kernel.under_way = None
    assert streams.ended(ended(OPENED, 6), tallies) == OLD
    assert counted(tallies, OLD) == (6, 60, 5, 1)
    assert not tallies.lost


def test_streams_of_a_connection_that_follow_each_other_between_two_readings_all_count() -> None:
    tallies = Tallies()
    streams = Streams(Kernel())
    for number in range(5):
        opened = OPENED._replace(started_ns=number * 10_000_000 + 1)
        streams.opened(opened, OLD, tallies)
        assert streams.ended(ended(opened, 3), tallies) == OLD
    assert counted(tallies, OLD) == (15, 150, 10, 5)


def test_the_next_stream_of_a_connection_is_not_taken_for_the_one_before() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    kernel.under_way = summed(OPENED, 5)
    streams.take(tallies)
    # It began, and got far, before the end of the one before was read.
    kernel.under_way = summed(NEXT, 9)
    streams.take(tallies)
    assert streams.ended(ended(OPENED, 7), tallies) == OLD
    streams.opened(NEXT, NEW, tallies)
    streams.take(tallies)
    assert counted(tallies, OLD) == (7, 70, 6, 1)
    assert counted(tallies, NEW) == (9, 90, 8, 1)


def test_an_end_whose_beginning_was_not_read_is_unknown_and_touches_no_other() -> None:
    tallies = Tallies()
    streams = Streams(Kernel())
    assert streams.ended(ended(OPENED, 3), tallies) is None
    streams.opened(NEXT, NEW, tallies)
    assert streams.ended(ended(OPENED, 3), tallies) is None
    assert streams.ended(ended(NEXT, 4), tallies) == NEW
    assert counted(tallies, NEW) == (4, 40, 3, 1)


@pytest.mark.parametrize("response", [b"", b"short"])
def test_a_stream_whose_sums_are_gone_ends_all_the_same(response: bytes) -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    kernel.under_way = summed(OPENED, 5)
    streams.take(tallies)
    assert streams.ended(ended(OPENED, 6)._replace(response=response), tallies) == OLD
    assert counted(tallies, OLD) == (5, 50, 4, 1)


def test_sums_of_an_end_that_do_not_go_on_from_those_before_are_lost_and_counted() -> None:
    kernel, tallies = Kernel(), Tallies()
    streams = Streams(kernel)
    streams.opened(OPENED, OLD, tallies)
    kernel.under_way = summed(OPENED, 5)
    streams.take(tallies)
    assert streams.ended(ended(OPENED, 3), tallies) == OLD
    assert counted(tallies, OLD) == (5, 50, 4, 1)
    assert tallies.lost == {"StreamUnknown": 1}


def test_of_too_many_the_oldest_is_forgotten_and_counted() -> None:
    tallies = Tallies()
    streams = Streams(Kernel())
    for connection in range(MAX_STREAMS + 1):
        streams.opened(OPENED._replace(connection=connection), OLD, tallies)
    assert tallies.lost == {"StreamsFull": 1}
    assert streams.ended(ended(OPENED, 1)._replace(connection=0), tallies) is None
    assert streams.ended(ended(OPENED, 1)._replace(connection=1), tallies) == OLD
