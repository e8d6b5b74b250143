"""HTTP/1.1 over real connections."""

import asyncio
import gc
import json
import logging
import time
import weakref

import aiohttp
import pytest

from tests.gateway.front.support import PATIENCE_S, Held, Reader1, echo, served, until
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front.exchange import Answer, Request
from tokenflow_gateway.front.http1 import Http1
from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.listener import Front
from tokenflow_gateway.front.running import refuse

GET = b"GET /v1/models?x=1 HTTP/1.1\r\nHost: gateway\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"


def post(body: bytes, *, path: bytes = b"/") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


async def bounded(request: Request, answer: Answer) -> None:
    """Answer with the length of a body of 1000 bytes at most."""
    try:
        body = await request.read(most=1000, within_s=PATIENCE_S)
    except GatewayError as error:
        refuse(answer, error)
        return
    answer.start(200, {})
    answer.write(str(len(body)).encode())
    answer.finish()


async def test_a_request_arrives_as_it_was_sent() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(
            b"POST /v1/chat/completions?a=b&c HTTP/1.1\r\nHOST: gateway\r\nX-Two: 1\r\nX-Two: 2\r\n"
            b"Cookie: a=1\r\nCookie: b=2\r\nContent-Length: 5\r\n\r\nhello"
        )
        seen = json.loads((await client.reply()).body)
    assert seen == {
        "method": "POST",
        "path": "/v1/chat/completions",
        "query": "a=b&c",
        "headers": {
            "host": "gateway",
            "x-two": "1, 2",
            "cookie": "a=1; b=2",
            "content-length": "5",
        },
        "peer": "127.0.0.1",
        "http": "1.1",
        "body": "hello",
    }


async def test_a_proxy_may_send_the_whole_url() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(b"GET http://gateway/v1/models?x=1#top HTTP/1.1\r\nHost: gateway\r\n\r\n")
        seen = json.loads((await client.reply()).body)
    assert (seen["path"], seen["query"]) == ("/v1/models", "x=1")


async def test_whole_answers_tell_their_length_and_streams_come_in_chunks() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET)
        answer = await held.next()
        head = await client.head()
        assert (head.status, head.headers["transfer-encoding"]) == (200, "chunked")
        for part in (b"data: 1\n\n", b"data: 2\n\n"):
            answer.write(part)
            assert await client.chunk() == part
        answer.write(b"")
        answer.finish()
        assert await client.chunk() == b""
        # The connection serves on, also while the handler still has something to do.
        client.send(GET)
        (await held.next()).finish()
        await client.reply()
        assert (front.connections, front.in_flight) == (1, 2)
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(GET)
        reply = await client.reply()
        assert int(reply.headers["content-length"]) == len(reply.body)
        assert "date" in reply.headers


async def test_what_is_flushed_leaves_at_once() -> None:
    async def stream(_: Request, answer: Answer) -> None:
        answer.start(200, {})
        answer.write(b"first")
        for _ in range(2):
            answer.flush()
        answer.write(b"second")
        answer.finish()
        answer.flush()

    async with served(stream) as front, await Reader1.connect(front) as client:
        client.send(GET)
        reply = await client.reply()
        # Otherwise it would tell its length, which is known at the end of the turn.
        assert (reply.body, reply.headers["transfer-encoding"]) == (b"firstsecond", "chunked")


async def test_the_head_leaves_before_the_first_token() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET)
        assert (await client.head()).status == 200


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(post(b"one", path=b"/1") + post(b"two", path=b"/2") + post(b"three", path=b"/3"))
        for path in ("/1", "/2", "/3"):
            request, answer = await held.begun.get()
            assert request.path == path
            assert held.begun.empty()
            answer.write(await request.read(most=10, within_s=1))
            answer.finish()
        assert [(await client.reply()).body for _ in range(3)] == [b"one", b"two", b"three"]


async def test_only_so_much_is_taken_in_ahead() -> None:
    held = Held()
    async with served(held, limits=Limits(unread_bytes=10_000)) as front, await Reader1.connect(front) as client:
        client.send(GET)
        first = await held.next()
        client.writer.transport.set_write_buffer_limits(high=0)
        client.send(GET * 200_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.2)
        first.finish()
        second = await held.next()
        second.finish()
        await held.next()


async def test_head_has_no_body_and_says_how_long_it_would_be() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {"Content-Type": "text/plain"})
        answer.write(b"hello")
        answer.finish()

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: gateway\r\n\r\n" + GET)
        assert (await client.reply(bodiless=True)).headers["content-length"] == "5"
        assert (await client.reply()).body == b"hello"


async def test_options_of_the_server_as_a_whole() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: gateway\r\n\r\n")
        seen = json.loads((await client.reply()).body)
    assert (seen["method"], seen["path"]) == ("OPTIONS", "*")


async def test_an_answer_without_content_has_no_length() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(204, {})
        answer.finish()

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(GET)
        assert "content-length" not in (await client.reply(bodiless=True)).headers
        client.send(GET)
        assert (await client.reply(bodiless=True)).status == 204


async def test_who_waits_to_go_on_is_told_to_when_the_body_is_wanted() -> None:
    async with served(bounded) as front, await Reader1.connect(front) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.head()).status == 100
        client.send(b"hi")
        assert (await client.reply()).body == b"2"
        # What is too large is refused before it is sent.
        client.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
        refusal = await client.reply()
        assert (refusal.status, refusal.headers["connection"]) == (413, "close")


async def test_a_sender_of_too_much_reads_why_it_was_refused() -> None:
    async with served(bounded) as front, await Reader1.connect(front) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        refusal = await client.reply()
        assert (refusal.status, refusal.error["code"]) == (413, "request_too_large")
        assert await client.rest() == b""


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def handler(request: Request, answer: Answer) -> None:
        try:
            await request.read(most=10, within_s=0.01)
        except GatewayError as error:
            refuse(answer, error)

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\nh")
        assert (await client.reply()).error["code"] == "request_timeout"


async def test_an_old_client_is_sent_no_chunks() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = await held.next()
        head = await client.head()
        assert (head.headers["connection"], head.headers.get("transfer-encoding")) == ("close", None)
        answer.write(b"data: 1\n\n")
        answer.finish()
        assert await client.rest() == b"data: 1\n\n"


async def test_an_old_client_can_tell_that_an_answer_broke_off() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = await held.next()
        await client.head()
        answer.abort()
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_an_old_client_may_keep_its_connection() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.reply()).headers["connection"] == "keep-alive"


async def test_a_client_that_asks_for_another_protocol_is_answered_in_this_one() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: g\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhe"
        )
        client.send(b"llo")
        assert json.loads((await client.reply()).body)["body"] == "hello"


async def test_a_client_that_asks_for_another_protocol_may_send_chunks() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        assert json.loads((await client.reply()).body)["body"] == "hello"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret",
        b"GET /secret HTTP/1.1\r\nHost : g\r\n\r\n",
        b"GET /secret HTTP/1.1\r\nHost: g\r\nA: \x00secret\r\n\r\n",
        b"GET /secret HTTP/1.1\r\n\r\n",
        b"GET /secret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /secret\r\n\r\n",
        b"GET secret HTTP/1.1\r\nHost: g\r\n\r\n",
        b"CONNECT secret:443 HTTP/1.1\r\nHost: g\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\nsecret",
        b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nsecret",
        b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip\r\n\r\nsecret",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
        b"PRI * HTTP/2.0\r\n\r\nsecret",
    ],
)
async def test_what_is_no_http_is_refused_and_not_logged(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with served(echo) as front, await Reader1.connect(front) as client:
            client.send(data)
            refusal = await client.reply()
            assert (refusal.status, refusal.headers["connection"]) == (400, "close")
            assert refusal.error["code"] == "malformed_request"
            assert await client.rest() == b""
    assert "secret" not in " ".join(str(record.__dict__) for record in caplog.records)


async def test_what_is_no_http_behind_a_request_is_refused_after_its_answer() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET + b"no http\r\n\r\n")
        (await held.next()).finish()
        assert (await client.reply()).status == 200
        assert (await client.reply()).status == 400
        assert await client.rest() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: g\r\nA: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: 1\r\n" % number for number in range(102)),
        b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: 1\r\n" * 102,
    ],
)
async def test_heads_are_bounded(data: bytes) -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(data)
        assert (await client.reply()).status == 431


async def test_a_header_that_never_ends_is_not_kept() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: g\r\nA: ")
        for _ in range(100):
            client.send(b"x" * 1000)
            await client.writer.drain()
        assert (await client.reply()).status == 431


async def test_a_head_must_arrive_in_time() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(b"GET / HT")
        await until(lambda: any(isinstance(connection, Http1) for connection in front._site.connections))
        check(front, after_s=9)
        assert front.connections == 1
        check(front, after_s=11)
        assert await client.rest() == b""


async def test_a_head_that_began_during_an_answer_must_arrive_in_time_too() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET + b"GET / HT")
        (await held.next()).finish()
        await client.reply()
        check(front, after_s=9)
        assert front.connections == 1
        check(front, after_s=11)
        assert await client.rest() == b""


async def test_a_connection_may_rest_for_a_while() -> None:
    async with served(echo) as front, await Reader1.connect(front) as client:
        client.send(GET)
        await client.reply()
        check(front, after_s=70)
        client.send(GET)
        await client.reply()
        check(front, after_s=80)
        assert await client.rest() == b""


async def test_a_silent_stream_is_not_taken_for_a_connection_that_rests() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET)
        answer = await held.next()
        check(front, after_s=600)
        answer.write(b"late")
        answer.finish()
        assert (await client.reply()).body == b"late"


@pytest.mark.parametrize("how", ["close", "half-close", "abort"])
async def test_a_reader_who_leaves_cancels_the_exchange(how: str) -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET)
        answer = await held.next()
        answer.write(b"data: 1\n\n")
        await client.head()
        if how == "half-close":
            client.writer.write_eof()
        elif how == "abort":
            client.writer.transport.abort()
        else:
            client.writer.close()
        await asyncio.wait_for(held.left.wait(), PATIENCE_S)
        await asyncio.wait_for(held.cancelled.wait(), PATIENCE_S)
        # Nothing happens any more.
        answer.write(b"data: 2\n\n")
        answer.finish()
        answer.abort()
        await until(lambda: front.connections == 0)


async def test_what_a_cancelled_exchange_held_is_freed_without_a_search_for_garbage() -> None:
    class Work:
        """What a handler holds."""

    works = list[weakref.ref[Work]]()

    async def handler(_: Request, answer: Answer) -> None:
        work = Work()
        works.append(weakref.ref(work))
        answer.start(200, {})
        await asyncio.Event().wait()

    gc.disable()
    try:
        async with served(handler) as front, await Reader1.connect(front) as client:
            client.send(GET)
            await client.head()
            client.writer.transport.abort()
            await until(lambda: works[0]() is None)
    finally:
        gc.enable()


async def test_a_reader_who_leaves_after_the_end_cancels_nothing() -> None:
    held = Held()
    async with served(held) as front:
        async with await Reader1.connect(front) as client:
            client.send(LAST)
            answer = await held.next()
            answer.finish()
            await client.reply()
        await until(lambda: front.connections == 0)
        assert front.in_flight == 1
        held.let_go.set()
        await until(lambda: front.in_flight == 0)
    assert not held.left.is_set()
    assert not held.cancelled.is_set()


async def test_a_reader_who_leaves_in_mid_body_is_not_waited_for() -> None:
    ended: asyncio.Queue[BaseException] = asyncio.Queue()

    async def handler(request: Request, _: Answer) -> None:
        try:
            await request.read(most=100, within_s=PATIENCE_S)
        except BaseException as error:
            ended.put_nowait(error)
            raise

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 50\r\n\r\nhalf")
        await until(lambda: front.in_flight == 1)
        client.writer.transport.abort()
        error = await asyncio.wait_for(ended.get(), PATIENCE_S)
    assert isinstance(error, ConnectionResetError | asyncio.CancelledError)


async def test_a_slow_reader_is_told_of_and_gets_everything() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET)
        answer = await held.next()
        await client.head()
        flowed = asyncio.Event()
        answer.on_flow(flowed.set)
        answer.keep_waiting_here(unsent_bytes=16_384)
        assert (answer.flowing, answer.waiting_bytes) == (True, 0)
        client.writer.transport.pause_reading()
        written = 0
        while answer.flowing:
            answer.write(b"x" * 10_000)
            written += 10_000
        # What the kernel has not taken is counted to the byte, but for the frame of the chunk.
        before = answer.waiting_bytes
        answer.write(b"y" * 1000)
        assert answer.waiting_bytes - before == 1000 + len(b"3e8\r\n\r\n")
        assert not flowed.is_set()
        client.writer.transport.resume_reading()
        received = 0
        while received < written + 1000:
            received += len(await client.chunk())
        await asyncio.wait_for(flowed.wait(), PATIENCE_S)
        assert (answer.flowing, answer.waiting_bytes) == (True, 0)


async def test_a_reader_who_takes_nothing_is_cut_off() -> None:
    held = Held()
    async with served(held) as front, await Reader1.connect(front) as client:
        client.send(GET)
        answer = await held.next()
        client.writer.transport.pause_reading()
        while answer.flowing:
            answer.write(b"x" * 100_000)
        check(front, after_s=0)
        check(front, after_s=29)
        assert not held.left.is_set()
        check(front, after_s=31)
        await asyncio.wait_for(held.left.wait(), PATIENCE_S)


async def test_a_fault_of_ours_is_told_without_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request, _: Answer) -> None:
        body = await request.read(most=100, within_s=PATIENCE_S)
        raise RuntimeError(body.decode())

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(post(b"a secret prompt"))
        refusal = await client.reply()
    assert (refusal.status, refusal.error["code"]) == (500, "internal_error")
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert "RuntimeError" in logged
    assert "secret" not in logged


async def test_a_fault_in_mid_stream_breaks_it_off() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {})
        answer.write(b"one")
        await asyncio.sleep(0)
        raise RuntimeError

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(GET)
        await client.head()
        assert await client.chunk() == b"one"
        assert await client.rest() == b""


@pytest.mark.parametrize("headers", [{"X": "a\r\nSet-Cookie: b"}, {"X\r\nY": "a"}, {"": "a"}])
async def test_a_header_cannot_smuggle_another(headers: dict[str, str]) -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, headers)

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(GET)
        assert (await client.reply()).status == 500


@pytest.mark.parametrize("body", [b"four", b"sixsix"])
async def test_a_body_of_another_length_than_announced_is_not_taken_for_whole(body: bytes) -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {"Content-Length": "5"})
        await asyncio.sleep(0)
        answer.write(body)
        answer.finish()

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(GET)
        await client.head()
        assert len(await client.rest()) < 5


async def test_headers_of_the_connection_are_the_listeners_own() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {"Connection": "close", "Transfer-Encoding": "chunked", "Keep-Alive": "timeout=1", "X": "y"})
        answer.finish()

    async with served(handler) as front, await Reader1.connect(front) as client:
        client.send(GET)
        reply = await client.reply()
    assert set(reply.headers) == {"date", "x", "content-length"}


async def test_aiohttp_reuses_its_connection_after_a_stream() -> None:
    ports = set()

    async def handler(request: Request, answer: Answer) -> None:
        await request.read(most=1000, within_s=PATIENCE_S)
        answer.start(200, {"Content-Type": "text/event-stream"})
        for number in range(3):
            answer.write(b"data: %d\n\n" % number)
            await asyncio.sleep(0)
        answer.finish()

    async with served(handler) as front, aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.post(f"http://127.0.0.1:{front.port}/", data=b"x" * 1000) as response:
                assert response.connection is not None
                ports.add(response.connection.transport.get_extra_info("sockname"))
                assert await response.read() == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(ports) == 1


def check(front: Front, *, after_s: float) -> None:
    """Look after the connections as if so many seconds had passed."""
    for connection in tuple(front._site.connections):
        connection.check(time.monotonic() + after_s)
