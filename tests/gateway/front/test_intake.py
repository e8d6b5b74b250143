"""However the network cuts bytes up, the same requests arrive."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front.frames import PREFACE, Frames
from tokenflow_gateway.front.intake import Intake, Message
from tokenflow_gateway.front.limits import Limits

BODIES = st.binary(max_size=300)


@dataclass(frozen=True)
class Posted:
    """A request to send: its body goes in chunks of those sizes, or with its length where there are none."""

    body: bytes
    chunks: tuple[int, ...] = ()
    upgrade: bool = False

    def bytes(self) -> bytes:
        head = b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: gateway\r\nX-Name: \xe9\r\n"
        if self.upgrade:
            head += b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        if not self.chunks:
            return head + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body
        rest, parts = self.body, b""
        for size in self.chunks:
            part, rest = rest[:size], rest[size:]
            parts += b"%x;name=value\r\n%b\r\n" % (len(part), part) if part else b""
        parts += b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b""
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\nX-Trailer: 1\r\n\r\n"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def taken(parts: list[bytes], *, limits: Limits | None = None) -> list[Message]:
    messages: list[Message] = []
    intake = Intake(limits or Limits(), arrived=messages.append, wanted=lambda: None)
    for part in parts:
        intake.feed(part)
    assert not intake.partial
    return messages


def body(message: Message) -> bytes:
    assert message.body.whole
    return asyncio.run(message.body.read(most=1_000_000, within_s=1))


@given(
    posted=st.lists(
        st.builds(Posted, BODIES, st.lists(st.integers(1, 50), max_size=4).map(tuple)), min_size=1, max_size=4
    ),
    cuts=st.lists(st.integers(0, 5000), max_size=20),
)
def test_requests_arrive_whole_however_they_are_cut_up(posted: list[Posted], cuts: list[int]) -> None:
    messages = taken(pieces(b"".join(one.bytes() for one in posted), cuts))
    assert [body(message) for message in messages] == [one.body for one in posted]
    for message in messages:
        assert (message.method, message.path, message.query) == ("POST", "/v1/chat/completions", "x=1")
        assert (message.headers["host"], message.headers["x-name"]) == ("gateway", "\xe9")
        assert not message.last


@given(
    posted=st.builds(Posted, BODIES, st.lists(st.integers(1, 50), max_size=4).map(tuple), st.just(value=True)),
    cuts=st.lists(st.integers(0, 1000), max_size=10),
)
def test_so_do_those_that_ask_for_another_protocol(posted: Posted, cuts: list[int]) -> None:
    (message,) = taken(pieces(posted.bytes(), cuts))
    assert body(message) == posted.body
    assert message.last


def refusal(parts: list[bytes], *, limits: Limits | None = None) -> int | None:
    """Return the status that bytes are refused with; ``None`` where they are not."""
    intake = Intake(limits or Limits(), arrived=lambda _: None, wanted=lambda: None)
    try:
        for part in parts:
            intake.feed(part)
    except GatewayError as error:
        return error.status
    return None


@given(data=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=10))
def test_any_bytes_are_requests_or_refused(data: bytes, cuts: list[int]) -> None:
    assert refusal(pieces(data, cuts)) in (None, 400, 431)


@given(size=st.integers(0, 200_000), piece=st.integers(1000, 70_000), at=st.sampled_from(["target", "name", "value"]))
def test_no_head_is_kept_far_beyond_its_bound(size: int, piece: int, at: str) -> None:
    head = {"target": b"GET /", "name": b"GET / HTTP/1.1\r\nX", "value": b"GET / HTTP/1.1\r\nHost: "}[at]
    parts = pieces(head + b"x" * size, list(range(0, size, piece)))
    refused = refusal(parts, limits=Limits(head_bytes=10_000))
    assert refused in ((None,) if size < 9000 else (431,) if size > 45_000 else (None, 431))


@given(
    frames=st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=40)), max_size=20),
    cuts=st.lists(st.integers(0, 2000), max_size=20),
)
def test_frames_are_counted_however_they_are_cut_up(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = PREFACE + b"".join(
        len(payload).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 1]) + payload for kind, payload in frames
    )
    watch = Frames()
    idle = sum(watch.pass_by(part) for part in pieces(data, cuts))
    assert idle == sum(kind not in (0, 1) or not payload for kind, payload in frames)


def test_a_frame_that_claims_too_much_is_refused_by_its_header() -> None:
    with pytest.raises(GatewayError):
        Frames().pass_by(PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
