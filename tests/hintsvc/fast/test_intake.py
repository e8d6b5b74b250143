"""Requests out of bytes, wherever the network cuts them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_hintsvc.fast.intake import Intake
from tokenflow_hintsvc.fast.messages import Request
from tokenflow_hintsvc.problems import ProblemError

SIMPLE = b"GET /v1/hints/gold HTTP/1.1\r\nHost: replica\r\n\r\n"
FULL = (
    b"GET /v1/hints/gold?path=llama/192.0.2.0/24 HTTP/1.1\r\nHost: replica\r\nAUTHORIZATION: Bearer key\r\n"
    b'If-None-Match: "1-1"\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 198.51.100.1\r\nAccept: */*\r\n\r\n'
)
LAST = b"HEAD /v1/hints/stream HTTP/1.1\r\nHost: replica\r\nLast-Event-ID: 1-1\r\nConnection: close\r\n\r\n"
EXPECTED = [
    Request(b"GET", b"/v1/hints/gold", {}, last=False, chunked=True),
    Request(b"GET", b"/v1/hints/gold", {}, last=False, chunked=True),
    Request(
        b"GET",
        b"/v1/hints/gold?path=llama/192.0.2.0/24",
        {
            b"authorization": b"Bearer key",
            b"if-none-match": b'"1-1"',
            b"x-forwarded-for": b"192.0.2.1,198.51.100.1",
        },
        last=False,
        chunked=True,
    ),
    Request(b"HEAD", b"/v1/hints/stream", {b"last-event-id": b"1-1"}, last=True, chunked=True),
]
WHOLE = SIMPLE + SIMPLE + FULL + LAST


def taken(intake: Intake, *parts: bytes) -> list[Request]:
    requests = []
    for part in parts:
        intake.feed(part)
        requests.extend(intake.requests)
    return requests


@given(st.sets(st.integers(1, len(WHOLE) - 1)))
def test_requests_are_the_same_wherever_they_are_cut(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    parts = [WHOLE[start:end] for start, end in pairwise(edges)]
    intake = Intake()
    assert taken(intake, *parts) == EXPECTED
    assert (intake.ended, intake.partial) == (True, 0)


def test_the_same_bytes_are_the_same_request_again() -> None:
    intake = Intake()
    first, second = taken(intake, SIMPLE, SIMPLE)
    assert first is second
    assert [request.target for request in taken(intake, FULL, SIMPLE)] == [EXPECTED[2].target, b"/v1/hints/gold"]


def test_the_same_bytes_within_a_request_are_no_request() -> None:
    intake = Intake()
    assert len(taken(intake, SIMPLE, b"GET /v1/hints/open HTTP/1.1\r\nX-Note: ")) == 1
    # What comes now is the value of a header, and more headers.
    assert [request.target for request in taken(intake, SIMPLE)] == [b"/v1/hints/open"]


@given(st.binary(max_size=400), st.integers(1, 50))
def test_garbage_is_refused_or_not_yet_a_request(data: bytes, size: int) -> None:
    intake = Intake()
    status = 0
    try:
        for start in range(0, len(data), size):
            intake.feed(data[start : start + size])
    except ProblemError as error:
        status = error.status
    assert status in (0, 400, 414, 431)
    assert intake.ended or status == 0


def request_with(headers: bytes) -> bytes:
    return b"GET /v1/hints/gold HTTP/1.1\r\nHost: replica\r\n" + headers + b"\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 2048 + b" HTTP/1.1\r\n\r\n", 414),
        (request_with(b"X-Note: y\r\n" * 64), 431),
        (request_with(b"X-Note: " + b"y" * 16_384 + b"\r\n"), 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /v1/hints/gold HTTP/9.9\r\n\r\n", 400),
        (b"GET /v1/hints/gold HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /v1/hints/gold HTTP/1.1\r\nNo Colon\r\n\r\n", 400),
        (b"GET /v1/hints/gold HTTP/1.1\r\n Folded: x\r\n\r\n", 400),
    ],
)
def test_what_is_out_of_bounds_is_refused(data: bytes, status: int) -> None:
    intake = Intake()
    with pytest.raises(ProblemError) as refused:
        intake.feed(data)
    assert refused.value.status == status
    assert intake.ended


def test_headers_that_never_end_are_refused_before_they_fill_memory() -> None:
    intake = Intake()
    drip = [b"GET /v1/hints/gold HTTP/1.1\r\nX-Note: ", *[b"y" * 1024] * 16]
    with pytest.raises(ProblemError, match="HeadersTooLarge"):
        taken(intake, *drip)


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"Connection: close\r\n",
    ],
)
def test_what_may_follow_with_another_meaning_is_not_read(headers: bytes) -> None:
    intake = Intake()
    intake.feed(request_with(headers) + SIMPLE)
    assert [request.last for request in intake.requests] == [True]
    assert intake.ended


def test_an_old_client_is_answered_and_not_in_chunks() -> None:
    intake = Intake()
    intake.feed(b"GET /v1/hints/gold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert intake.requests == [Request(b"GET", b"/v1/hints/gold", {}, last=True, chunked=False)]
