"""HTTP/2 over real connections."""

import asyncio
import json
import time

import pytest
from h2.errors import ErrorCodes
from h2.events import PingAckReceived, StreamReset
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame

from tests.gateway.front.support import PATIENCE_S, Held, Reader2, echo, served, until
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front.exchange import Answer, Request
from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.listener import Front
from tokenflow_gateway.front.running import refuse


async def test_a_request_arrives_as_it_was_sent() -> None:
    async with served(echo) as front, await Reader2.connect(front) as client:
        reply = await client.reply(
            client.ask("/v1/chat/completions?a=b", method="POST", body=b"hello", cookie="a=1", authorization="Bearer k")
        )
    assert reply.status == 200
    assert json.loads(reply.body) == {
        "method": "POST",
        "path": "/v1/chat/completions",
        "query": "a=b",
        "headers": {"host": "gateway", "cookie": "a=1", "authorization": "Bearer k"},
        "peer": "127.0.0.1",
        "http": "2",
        "body": "hello",
    }


async def test_streams_run_side_by_side() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        numbers = [client.ask() for _ in range(3)]
        answers = [await held.next() for _ in numbers]
        for part in (b"data: 1\n\n", b"data: 2\n\n"):
            for answer in answers:
                answer.write(part)
        for answer in reversed(answers):
            answer.finish()
        for number in numbers:
            assert (await client.reply(number)).body == b"data: 1\n\ndata: 2\n\n"
        assert front.connections == 1


async def test_the_head_leaves_before_the_first_token() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        number = client.ask()
        await client.until(lambda: ":status" in client.streams[number].headers)


async def test_head_has_no_body() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {"Content-Length": "5"})
        answer.write(b"hello")
        answer.finish()

    async with served(handler) as front, await Reader2.connect(front) as client:
        reply = await client.reply(client.ask(method="HEAD"))
    assert (reply.headers["content-length"], reply.body) == ("5", b"")


async def test_a_body_larger_than_the_windows_arrives_as_it_is_read() -> None:
    size = 900_000
    async with served(echo, limits=Limits(unread_bytes=65_535)) as front, await Reader2.connect(front) as client:
        number = client.ask_slowly(size)
        reply = await client.reply(number)
    assert len(json.loads(reply.body)["body"]) == size


async def test_an_unread_body_is_held_back_and_then_forgotten() -> None:
    held = Held()
    async with served(held, limits=Limits(unread_bytes=65_535)) as front, await Reader2.connect(front) as client:
        # Each fills its window, and together they would fill the connection's many times over.
        for _ in range(20):
            client.ask_slowly(100_000)
            answer = await held.next()
            await client.until(lambda: client.blocked)
            answer.finish()
            await client.until(lambda: client.reset_by_server)


async def test_a_body_above_the_bound_is_refused() -> None:
    async def handler(request: Request, answer: Answer) -> None:
        try:
            await request.read(most=1000, within_s=PATIENCE_S)
        except GatewayError as error:
            refuse(answer, error)

    async with served(handler) as front, await Reader2.connect(front) as client:
        reply = await client.reply(client.ask(method="POST", body=b"x" * 1001))
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


async def test_what_the_window_does_not_take_waits_and_is_told_of() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        client.acknowledging = False
        number = client.ask()
        answer = await held.next()
        flowed = asyncio.Event()
        answer.on_flow(flowed.set)
        assert (answer.flowing, answer.waiting_bytes) == (True, 0)
        answer.write(b"x" * 70_000)
        assert not answer.flowing
        await client.until(lambda: len(client.streams[number].body) == 65_535)
        await until(lambda: answer.waiting_bytes == 70_000 - 65_535)
        assert not flowed.is_set()
        client.h2.acknowledge_received_data(65_535, number)
        client.flush()
        await client.until(lambda: len(client.streams[number].body) == 70_000)
        await asyncio.wait_for(flowed.wait(), PATIENCE_S)
        assert (answer.flowing, answer.waiting_bytes) == (True, 0)


async def test_one_stream_that_is_not_read_does_not_hold_up_the_others() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        client.h2.increment_flow_control_window(1_000_000)
        client.acknowledging = False
        stuck, other = client.ask(), client.ask()
        first, second = await held.next(), await held.next()
        first.write(b"x" * 100_000)
        second.write(b"data: 1\n\n")
        second.finish()
        assert (await client.reply(other)).body == b"data: 1\n\n"
        assert not client.streams[stuck].ended


async def test_the_end_waits_for_the_reader_too() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        client.acknowledging = False
        number = client.ask()
        answer = await held.next()
        answer.write(b"x" * 70_000)
        answer.finish()
        held.let_go.set()
        await client.until(lambda: len(client.streams[number].body) == 65_535)
        client.h2.acknowledge_received_data(65_535, number)
        client.flush()
        assert len((await client.reply(number)).body) == 70_000


async def test_a_reader_whose_window_stays_shut_is_cut_off() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        client.acknowledging = False
        number = client.ask()
        answer = await held.next()
        answer.write(b"x" * 65_535)
        await client.until(lambda: len(client.streams[number].body) == 65_535)
        check(front, after_s=0)
        check(front, after_s=29)
        assert not held.left.is_set()
        check(front, after_s=31)
        await asyncio.wait_for(held.left.wait(), PATIENCE_S)
        await client.until(lambda: bool(client.seen(StreamReset)))


async def test_a_reader_who_resets_a_stream_has_left_it() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        number, other = client.ask(), client.ask()
        answer, second = await held.next(), await held.next()
        client.h2.reset_stream(number, ErrorCodes.CANCEL)
        client.flush()
        await asyncio.wait_for(held.left.wait(), PATIENCE_S)
        await asyncio.wait_for(held.cancelled.wait(), PATIENCE_S)
        answer.write(b"x")
        answer.finish()
        second.write(b"y")
        second.finish()
        assert (await client.reply(other)).body == b"y"


@pytest.mark.parametrize("how", ["close", "go away"])
async def test_a_reader_who_closes_the_connection_has_left_all(how: str) -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        client.ask()
        client.ask()
        await held.next()
        await held.next()
        if how == "go away":
            client.h2.close_connection()
            client.flush()
        else:
            client.writer.close()
        await until(lambda: (front.in_flight, front.connections) == (0, 0))
        assert held.left.is_set()


async def test_a_broken_off_answer_is_reset() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {})
        answer.write(b"one")
        raise RuntimeError

    async with served(handler) as front, await Reader2.connect(front) as client:
        client.ask()
        await client.until(lambda: bool(client.seen(StreamReset)))
        assert client.seen(StreamReset)[0].error_code == ErrorCodes.INTERNAL_ERROR


async def test_so_many_streams_at_once_and_no_more() -> None:
    held = Held()
    async with served(held, limits=Limits(streams=2)) as front, await Reader2.connect(front) as client:
        await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 2)
        # A client that does not heed what it was told.
        client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 100
        client.h2.remote_settings.acknowledge()
        for _ in range(3):
            client.ask()
        await client.until(lambda: client.closed)
        await until(lambda: front.in_flight == 0)


async def test_headers_are_bounded() -> None:
    async with served(echo) as front:
        async with await Reader2.connect(front) as client:
            reply = await client.reply(client.ask(**{f"x-{number}": "1" for number in range(101)}))
            assert (reply.status, reply.error["code"]) == (431, "headers_too_large")
        async with await Reader2.connect(front) as client:
            client.ask(**{"x-large": "x" * 40_000})
            await client.until(lambda: client.closed)
        assert front.in_flight == 0


async def test_a_target_that_is_none_is_refused() -> None:
    async with served(echo) as front, await Reader2.connect(front) as client:
        reply = await client.reply(client.ask("nowhere"))
    assert (reply.status, reply.error["code"]) == (400, "malformed_request")


async def test_what_is_no_http2_ends_the_connection() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        client.ask()
        await held.next()
        client.writer.write(b"\xff" * 100)
        await client.until(lambda: client.closed)
        assert client.goodbyes[0].error_code == ErrorCodes.FRAME_SIZE_ERROR
        await until(lambda: front.in_flight == 0)


@pytest.mark.parametrize("frame", ["ping", "settings", "empty data", "reset"])
async def test_a_flood_of_frames_that_bring_nothing_ends_the_connection(frame: str) -> None:
    limits = Limits(idle_frames=50, idle_frames_per_second=1)
    async with served(echo, limits=limits) as front, await Reader2.connect(front) as client:
        number = client.ask_slowly(10, sent=0) if frame == "empty data" else 0
        for _ in range(60):
            if frame == "ping":
                client.h2.ping(b"12345678")
            elif frame == "settings":
                client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
            elif frame == "empty data":
                client.h2.send_data(number, b"")
            else:
                client.h2.reset_stream(client.ask(), ErrorCodes.CANCEL)
            client.flush()
            await asyncio.sleep(0)
        await until(lambda: (front.connections, front.in_flight) == (0, 0))


async def test_a_reader_may_ping_as_it_is_served() -> None:
    limits = Limits(idle_frames=50, idle_frames_per_second=1)
    async with served(echo, limits=limits) as front, await Reader2.connect(front) as client:
        for _ in range(100):
            client.h2.ping(b"12345678")
            assert (await client.reply(client.ask())).status == 200


async def test_a_stream_that_is_reset_in_the_same_bytes_never_begins() -> None:
    held = Held()
    async with served(held) as front, await Reader2.connect(front) as client:
        number = client.h2.get_next_available_stream_id()
        pseudo = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "g")]
        client.h2.send_headers(number, pseudo, end_stream=True)
        client.h2.reset_stream(number, ErrorCodes.CANCEL)
        client.flush()
        client.ask()
        await held.next()
        assert held.begun.empty()


async def test_a_flood_of_continuations_ends_the_connection() -> None:
    async with served(echo) as front, await Reader2.connect(front) as client:
        await client.turn()
        client.writer.write(HeadersFrame(1, data=b"\x00").serialize())
        for _ in range(100):
            client.writer.write(ContinuationFrame(1, data=b"\x00" * 1000).serialize())
        await until(lambda: front.connections == 0)


async def test_pings_are_answered() -> None:
    async with served(echo) as front, await Reader2.connect(front) as client:
        client.h2.ping(b"12345678")
        client.flush()
        await client.until(lambda: bool(client.seen(PingAckReceived)))


async def test_a_connection_that_rests_is_told_to_go() -> None:
    async with served(echo) as front, await Reader2.connect(front) as client:
        await client.reply(client.ask())
        check(front, after_s=70)
        await client.reply(client.ask())
        check(front, after_s=80)
        await client.until(lambda: client.closed)
        (last,) = client.goodbyes
        assert (last.error_code, last.last_stream_id) == (ErrorCodes.NO_ERROR, 3)


def check(front: Front, *, after_s: float) -> None:
    """Look after the connections as if so many seconds had passed."""
    for connection in tuple(front._site.connections):
        connection.check(time.monotonic() + after_s)
