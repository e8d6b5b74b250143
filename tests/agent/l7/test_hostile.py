"""Whatever comes over the wire: no parser raises, and none holds more than its bounds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.l7.hostile import feed, interpreter, record
from tokenflow_agent.l7 import http1
from tokenflow_agent.l7.headers import allowed
from tokenflow_agent.l7.http2 import MAX_STREAMS, Connection
from tokenflow_agent.l7.record import Kind, Protocol
from tokenflow_agent.l7.tally import MAX_KEYS
from tokenflow_api.windows import HttpProtocol

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


def frame(kind: int, payload: bytes, *, flags: int = 4, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def connection() -> Connection:
    return Connection(allowed([]))


@given(st.binary(max_size=2000))
@settings(max_examples=300)
def test_arbitrary_bytes_raise_nothing(data: bytes) -> None:
    feed(data)


FRAMES = st.builds(
    frame,
    st.integers(0, 10),
    st.binary(max_size=40)
    | st.lists(st.sampled_from([b"\x88", b"\x3f\xe1\x1f", b"\x40\x01a\x01b", b"\xbe"])).map(b"".join),
    flags=st.integers(0, 255),
    stream=st.integers(0, 9),
)


@given(st.lists(st.tuples(FRAMES, st.booleans()), max_size=30))
def test_frames_in_any_order_raise_nothing(frames: list[tuple[bytes, bool]]) -> None:
    reader = connection()
    for data, from_server in frames:
        list(reader.feed(data, from_server=from_server, at_ns=1))
    list(reader.close(at_ns=2))


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=40), st.data())
def test_requests_end_the_same_however_they_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    encoder = Encoder()
    stream = b"".join(
        frame(1, encoder.encode([(":method", "GET"), (":path", "/v1/" + body.hex())]), flags=5, stream=2 * number + 1)
        for number, body in enumerate(bodies)
    )
    whole, cut = connection(), connection()
    list(whole.feed(stream, from_server=False, at_ns=1))
    position = 0
    while position < len(stream):
        size = data.draw(st.integers(1, 50))
        list(cut.feed(stream[position : position + size], from_server=False, at_ns=1))
        position += size
    expected = ["/v1/" + body.hex() for body in bodies]
    assert (
        [ended.target for ended in cut.close(at_ns=2)] == [ended.target for ended in whole.close(at_ns=2)] == expected
    )


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nX: " + b"a" * MIB, b"GET /" + b"a" * MIB, b"\r\n" * MIB])
def test_headers_of_a_mebibyte_are_read_in_their_stride(head: bytes) -> None:
    http1.request(head, headers=allowed([]))


def test_a_bomb_of_header_compression_ends_in_a_desync() -> None:
    encoder = Encoder()
    reader = connection()
    bomb = encoder.encode([("x", "a" * 4000)]) + b"\xbe" * 16_000
    list(reader.feed(frame(1, bomb[:16_000]), from_server=False, at_ns=1))
    assert reader.desynced
    assert [ended.target for ended in reader.close(at_ns=2)] == [""]


def test_a_flood_of_continuations_is_not_held() -> None:
    reader = connection()
    list(reader.feed(frame(1, b"a" * 1000, flags=0), from_server=False, at_ns=1))
    for _ in range(1000):
        list(reader.feed(frame(9, b"a" * 1000, flags=0), from_server=False, at_ns=1))
        assert len(reader._client._block) <= 16_384
    assert reader.desynced


def test_a_frame_longer_than_any_is_not_waited_for() -> None:
    reader = connection()
    for _ in range(100):
        list(reader.feed(b"\xff\xff\xff\x01" + b"a" * 10_000, from_server=False, at_ns=1))
        assert len(reader._client._bytes) <= 32_768


def test_requests_that_never_end_are_forgotten_and_counted() -> None:
    reader = connection()
    for number in range(MAX_STREAMS + 10):
        list(reader.feed(frame(1, b"\x82\x84", flags=5, stream=2 * number + 1), from_server=False, at_ns=1))
    assert reader.forgotten == 10
    assert len(list(reader.close(at_ns=2))) == MAX_STREAMS


def test_ever_new_ports_fill_no_more_than_the_rows() -> None:
    reader = interpreter()
    template = record(Protocol.HTTP1, Kind.EXCHANGE, b"GET /v1/a HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
    for port in range(MAX_KEYS + 100):
        reader.take(template._replace(port=port))
    tallies = reader.drain()
    assert len(tallies.http) == MAX_KEYS
    assert tallies.lost["KeysFull"] == 100


def test_a_piece_that_is_missing_is_noticed_and_later_requests_keep_no_route() -> None:
    reader = interpreter()
    encoder = Encoder()
    headers = [(":method", "GET"), (":path", "/v1/a"), ("content-type", "application/grpc")]
    for number, stream in ((1, 1), (4, 3), (6, 5)):
        request = frame(1, encoder.encode(headers), flags=5, stream=stream)
        response = frame(1, b"\x88", flags=5, stream=stream)
        reader.take(record(Protocol.HTTP2, Kind.FRAMES, request, number=number))
        reader.take(record(Protocol.HTTP2, Kind.FRAMES, response, number=number + 1, from_server=True))
    tallies = reader.drain()
    assert tallies.lost["Desync"] == 1
    assert [(key.protocol, key.route, key.status) for key in tallies.http] == [
        (HttpProtocol.GRPC, "/v1/*", "UNKNOWN"),
        (HttpProtocol.HTTP2, "~other", "~other"),
    ]


def test_values_of_headers_that_nobody_may_look_at_are_not_held() -> None:
    reader = connection()
    block = Encoder().encode([(":path", "/"), ("authorization", "hunter2"), ("cookie", "hunter2")], huffman=False)
    list(reader.feed(frame(1, block), from_server=False, at_ns=1))
    decoder = reader._client._decoder
    assert decoder is not None
    assert b"hunter2" not in repr(decoder.header_table.dynamic_entries).encode()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="atheris has no wheel for this Python")
def test_the_fuzzer_finds_nothing_in_ten_thousand_runs() -> None:
    # The same each time: it is for those who look for more to run it with other seeds.
    command = [sys.executable, "-m", "tests.agent.l7.fuzz_parsers", "-seed=1", "-runs=10000", "-max_len=4096"]
    env = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
