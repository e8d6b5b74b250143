"""Answers out of bytes, however these are torn."""

import gc
import itertools
import weakref
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.upstream.servers import Sink
from tokenflow_gateway.errors import UpstreamBrokeOffError
from tokenflow_gateway.upstream.answer import Answer

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;name=value\r\n, world\r\n0\r\nTrailer: read over\r\n\r\n"
)
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello, world"


def answer_to(*parts: bytes, bodiless: bool = False, ends: bool = False) -> tuple[Answer, Sink]:
    answer, sink = Answer(upstream="llama", bodiless=bodiless), Sink()
    answer.pipe(sink)
    for part in parts:
        answer.feed(part)
    if answer.complete:
        answer.finish(None)
    elif ends:
        answer.close(reset=False)
    return answer, sink


def torn(data: bytes, at: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


@given(
    data=st.sampled_from([CHUNKED, SIZED, INTERIM + CHUNKED, INTERIM + SIZED, UNTIL_CLOSE]),
    at=st.lists(st.integers(0, 100), max_size=12),
)
def test_however_an_answer_is_torn_its_body_is_the_same(data: bytes, at: list[int]) -> None:
    answer, sink = answer_to(*torn(data, [min(one, len(data)) for one in at]), ends=True)
    assert answer.head is not None
    assert (answer.head.status, sink.body, sink.ends, sink.error) == (200, b"hello, world", 1, None)
    assert answer.reusable is (data != UNTIL_CLOSE)


@given(
    start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKED[:-9], SIZED[:-12]]),
    rest=st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"\r\n", b"0", b":", b"HTTP/1.1 ", CHUNKED]))),
)
def test_whatever_bytes_come_they_are_an_answer_or_refused(start: bytes, rest: list[bytes]) -> None:
    answer, sink = Answer(upstream="llama", bodiless=False), Sink()
    answer.pipe(sink)
    try:
        for part in [start, *rest]:
            if not answer.complete:
                answer.feed(part)
    except UpstreamBrokeOffError as error:
        answer.finish(error)
    else:
        answer.close(reset=True)
    assert sink.ends == 1
    assert (sink.error is None) is answer.complete


@given(data=st.sampled_from([CHUNKED, SIZED]), cut=st.integers(0, 70))
def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(data: bytes, cut: int) -> None:
    answer, sink = answer_to(*torn(data[: min(cut, len(data) - 1)], []), ends=True)
    assert isinstance(sink.error, UpstreamBrokeOffError)
    assert (answer.complete, answer.reusable, sink.ends) == (False, False, 1)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_answers_have_no_body_whatever_they_announce(status: bytes) -> None:
    answer, sink = answer_to(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")
    assert (answer.complete, answer.reusable, sink.body) == (True, True, b"")


@pytest.mark.parametrize("lie", [b"", b"hello, world"])
def test_the_answer_to_a_head_has_no_body_and_ends_its_connection(lie: bytes) -> None:
    answer, sink = answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + lie, bodiless=True)
    assert (answer.complete, answer.reusable, sink.body) == (True, False, b"")


@pytest.mark.parametrize(
    "data",
    [
        SIZED + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        SIZED + b"left over",
        b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello, world",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhello, world",
    ],
)
def test_what_follows_an_answer_never_reaches_another_request(data: bytes) -> None:
    answer, sink = answer_to(data)
    assert (answer.complete, answer.reusable, sink.body) == (True, False, b"hello, world")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "sent what is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", "sent what is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", "sent what is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "sent what is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n", "compressed its answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "status 101"),
        (b"HTTP/1.1 700 Strange\r\nContent-Length: 0\r\n\r\n", "status 700"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 129 + b"\r\n", "more than 128 headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "more than 65536 bytes of headers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000, "more than 65536 bytes of headers"),
    ],
)
def test_what_is_no_proper_answer_is_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(UpstreamBrokeOffError, match=words):
        answer_to(data)


def test_a_head_without_end_is_refused_although_it_comes_in_drops() -> None:
    with pytest.raises(UpstreamBrokeOffError, match="more than 65536 bytes of headers"):
        answer_to(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 1000] * 70)


def test_lengths_of_many_small_chunks_are_no_head() -> None:
    chunk = b"1\r\nx\r\n"
    _, sink = answer_to(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunk] * 20_000)
    assert sink.body == b"x" * 20_000


def test_chunks_that_come_together_are_handed_on_together() -> None:
    _, sink = answer_to(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n"
    )
    assert sink.parts == [b"ab", b"c"]


def test_what_came_before_a_fault_is_handed_on() -> None:
    answer, sink = Answer(upstream="llama", bodiless=False), Sink()
    answer.pipe(sink)
    with pytest.raises(UpstreamBrokeOffError):
        answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
    assert sink.body == b"hello"


def test_a_header_that_comes_twice_is_a_list() -> None:
    answer, _ = answer_to(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
    assert answer.head is not None
    assert answer.head.headers == {"x-a": "1, 2", "content-length": "0"}


def test_a_fault_of_whoever_reads_is_not_taken_for_one_of_the_upstream() -> None:
    class Faulty(Sink):
        def feed(self, data: bytes) -> None:
            raise ZeroDivisionError(data)

    answer = Answer(upstream="llama", bodiless=False)
    answer.pipe(Faulty())
    with pytest.raises(ZeroDivisionError):
        answer.feed(SIZED)


def test_an_answer_that_nobody_wants_any_more_is_freed_without_a_search_for_garbage() -> None:
    gc.disable()
    try:
        answer, _ = answer_to(CHUNKED[:90])
        answer.abandon()
        freed = weakref.ref(answer)
        del answer
        assert freed() is None
    finally:
        gc.enable()
