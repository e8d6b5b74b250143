"""What a stream learns of its connection, on real TCP."""

import socket
from collections.abc import Iterator

import pytest

from tokenflow_gateway.stream.meters import Connection, Meter

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with socket.create_connection(server.getsockname()) as reader:
            sender, _ = server.accept()
            with sender:
                sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield sender, reader


def received(reader: socket.socket, size: int) -> None:
    while size:
        size -= len(reader.recv(size))


def test_what_the_reader_took_is_delivered(pair: Pair) -> None:
    sender, reader = pair
    meter = Meter(connection=Connection(sock=sender, streams=1))
    assert meter.look(0.0, waiting_bytes=0, held_bytes=0) is None
    sender.sendall(b"x" * 1000)
    meter.wrote(1000, tokens=20)
    received(reader, 1000)
    look = meter.look(0.5, waiting_bytes=0, held_bytes=0)
    assert look is not None
    assert (look.delivered, look.backlog_bytes, look.bytes_per_token) == (2000.0, 0.0, 50.0)
    observation = meter.taken()
    assert observation is not None
    assert (observation.tokens, observation.retransmits) == (20.0, 0.0)
    assert observation.size in (1000, 1001)


def test_what_was_delivered_before_the_first_look_counts(pair: Pair) -> None:
    sender, reader = pair
    meter = Meter(connection=Connection(sock=sender, streams=1))
    sender.sendall(b"x" * 1000)
    meter.wrote(1000, tokens=20)
    received(reader, 1000)
    assert meter.look(0.0, waiting_bytes=0, held_bytes=0) is None
    observation = meter.taken()
    assert observation is not None
    assert (observation.tokens, observation.size) == (20.0, 1000.0)


def test_a_window_tells_only_what_is_new(pair: Pair) -> None:
    sender, reader = pair
    meter = Meter(connection=Connection(sock=sender, streams=1))
    meter.look(0.0, waiting_bytes=0, held_bytes=0)
    sender.sendall(b"x" * 100)
    meter.wrote(100, tokens=2)
    received(reader, 100)
    meter.look(1.0, waiting_bytes=0, held_bytes=0)
    meter.taken()
    again = meter.taken()
    assert again is not None
    assert (again.tokens, again.size) == (0.0, 0.0)


def test_what_waits_here_or_is_held_is_backlog_and_not_delivered(pair: Pair) -> None:
    meter = Meter(connection=Connection(sock=pair[0], streams=1))
    meter.look(0.0, waiting_bytes=0, held_bytes=0)
    meter.wrote(600, tokens=10)
    meter.wrote(100, tokens=1)
    look = meter.look(1.0, waiting_bytes=700, held_bytes=50)
    assert look is not None
    # The last event may just have left.
    assert (look.delivered, look.backlog_bytes, meter.unsent_bytes) == (0.0, 650.0, 750)


def test_a_whole_stream_delivers_what_is_still_on_its_way_when_it_ends(pair: Pair) -> None:
    for whole, delivered in ((True, 10.0), (False, 0.0)):
        meter = Meter(connection=Connection(sock=pair[0], streams=1))
        meter.look(0.0, waiting_bytes=0, held_bytes=0)
        meter.wrote(600, tokens=10)
        meter.close(0.1, waiting_bytes=600, whole=whole)
        observation = meter.taken()
        assert observation is not None
        assert (observation.tokens, observation.size, observation.unsent_bytes) == (delivered, delivered * 60, 0)


def test_streams_of_one_connection_share_what_it_says_by_what_they_wrote(pair: Pair) -> None:
    connection = Connection(sock=pair[0], streams=2)
    busy, quiet = Meter(connection=connection), Meter(connection=connection)
    for meter in (busy, quiet):
        meter.look(0.0, waiting_bytes=0, held_bytes=0)
    busy.wrote(900, tokens=9)
    quiet.wrote(100, tokens=1)
    looks = [meter.look(1.0, waiting_bytes=500, held_bytes=0) for meter in (busy, quiet)]
    assert [look and look.delivered for look in looks] == [450.0, 50.0]
    assert [busy.unsent_bytes, quiet.unsent_bytes] == [450, 50]


def test_rates_are_averaged_over_a_second(pair: Pair) -> None:
    sender, reader = pair
    meter = Meter(connection=Connection(sock=sender, streams=1))
    rates = []
    for number in range(12):
        if number < 4:
            sender.sendall(b"x" * 100)
            meter.wrote(100, tokens=1)
            received(reader, 100)
        look = meter.look(number * 0.25, waiting_bytes=0, held_bytes=0)
        rates.append(look and round(look.delivered))
    assert rates == [None, 400, 400, 400, 300, 200, 100, 0, 0, 0, 0, 0]


def test_a_standstill_is_no_rate_and_what_comes_after_it_is_measured_anew(pair: Pair) -> None:
    meter = Meter(connection=Connection(sock=pair[0], streams=1))
    waiting = [0, 0, 1000, 1000, 1000, 500, 0]
    rates = []
    for number, waits in enumerate(waiting):
        if number in (1, 2):
            meter.wrote(1000, tokens=10)
            meter.wrote(10, tokens=0)
        look = meter.look(number * 0.25, waiting_bytes=waits, held_bytes=0)
        rates.append(look and look.delivered)
    # 1010 bytes at once, then nothing for three looks, then 500 bytes in each of two quarters of a second.
    assert rates == [None, 4040.0, 2040.0, 0.0, 0.0, 2000.0, 2000.0]


def test_a_connection_that_is_closed_tells_nothing(pair: Pair) -> None:
    sender, _ = pair
    meter = Meter(connection=Connection(sock=sender, streams=1))
    sender.close()
    assert meter.look(0.0, waiting_bytes=0, held_bytes=0) is None
    assert meter.taken() is None
