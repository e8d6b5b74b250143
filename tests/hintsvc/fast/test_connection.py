"""The fast listener, spoken to in bytes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest

from tests.hintsvc.serving import FAST, Serving, request, serving, snapshot
from tokenflow_hintsvc.fast.connection import HEAD_S, IDLE_S, STUCK_S, Connection
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.view.feed import KEEP_ALIVE_S

OPEN = request("/v1/hints/open")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        running.publish(snapshot())
        yield running


def connections(served: Serving) -> list[Connection]:
    return list(served.listener._site.connections)


async def test_requests_that_arrive_together_are_answered_in_order(served: Serving) -> None:
    client = await served.connect(FAST)
    targets = [f"/v1/hints/open?path={number}" for number in range(200)]
    await client.send(b"".join(request(f"/v1/hints/{'open' if n % 3 else 'nobody'}") for n in range(200)))
    assert [(await client.answer()).status for _ in targets] == [200 if n % 3 else 403 for n in range(200)]
    await client.close()


async def test_what_is_sent_behind_a_stream_is_left_alone(served: Serving) -> None:
    token = f"Authorization: Bearer {served.issuer.token(account='gateway')}"
    client = await served.connect(FAST)
    await client.send(OPEN + request("/v1/hints/stream", token) + OPEN)
    assert (await client.answer()).status == 200
    assert (await client.head()).headers["content-type"] == "text/event-stream"
    assert (await client.event())["event"] == "config"
    # The service still notices when the reader leaves.
    await client.close()
    await until(lambda: connections(served) == [])


async def test_a_long_pipeline_does_not_hold_up_others(served: Serving) -> None:
    greedy, other = await served.connect(FAST), await served.connect(FAST)
    await other.send(OPEN)
    await other.answer()
    await greedy.send(OPEN * 1000)
    await other.send(OPEN)
    assert (await other.answer()).status == 200
    assert greedy.reader._buffer.count(b"HTTP/1.1 200") < 500
    assert [(await greedy.answer()).status for _ in range(1000)] == [200] * 1000
    await greedy.close()
    await other.close()


async def test_a_request_may_arrive_byte_by_byte(served: Serving) -> None:
    client = await served.connect(FAST)
    for at in range(len(OPEN)):
        await client.send(OPEN[at : at + 1])
        await asyncio.sleep(0)
    assert (await client.answer()).status == 200
    await client.close()


async def test_garbage_is_answered_and_the_connection_ends(served: Serving) -> None:
    client = await served.connect(FAST)
    await client.send(OPEN + b"\x00\x01garbage\r\n\r\n")
    assert (await client.answer()).status == 200
    refused = await client.answer()
    assert (refused.status, refused.headers["connection"]) == (400, "close")
    assert json.loads(refused.body)["code"] == "BadRequest"
    assert await client.ended()
    await client.close()


async def test_who_sends_a_body_is_answered_while_still_sending(served: Serving) -> None:
    client = await served.connect(FAST)
    await client.send(request("/v1/hints/open", "Content-Length: 1000000", method="POST"))
    answer = await client.answer()
    assert (answer.status, answer.headers["allow"], answer.headers["connection"]) == (405, "GET, HEAD", "close")
    await client.send(b"x" * 100_000)
    assert await client.ended()
    await client.close()


async def test_a_client_that_closes_its_side_is_still_answered(served: Serving) -> None:
    client = await served.connect(FAST)
    token = f"Authorization: Bearer {served.issuer.token(account='gateway')}"
    await client.send(request("/v1/hints/gold", token))
    client.writer.write_eof()
    assert (await client.answer()).status == 200
    assert await client.ended()
    await client.close()


@pytest.mark.parametrize(
    ("sent", "limit_s"), [(b"", HEAD_S), (b"GET /v1/hints/op", HEAD_S), (OPEN + b"GET /v1", HEAD_S), (OPEN, IDLE_S)]
)
async def test_who_is_too_slow_is_cut_off(served: Serving, sent: bytes, limit_s: float) -> None:
    began = time.monotonic()
    client = await served.connect(FAST)
    await client.send(sent)
    if sent.startswith(OPEN):
        await client.answer()
    await until(lambda: len(connections(served)) == 1)
    (connection,) = connections(served)
    await until(lambda: bool(connection._intake.partial) == (sent not in (b"", OPEN)))
    connection.check(began + limit_s - 1)
    assert connections(served) == [connection]
    connection.check(time.monotonic() + limit_s)
    assert await client.ended()
    await client.close()
    assert connections(served) == []


async def test_dripping_bytes_buys_no_time(served: Serving) -> None:
    client = await served.connect(FAST)
    await client.send(b"GET /v1/hints/open HTTP/1.1\r\n")
    await until(lambda: any(connection._intake.partial for connection in connections(served)))
    (connection,) = connections(served)
    deadline = connection._deadline
    arrived = connection._intake.partial
    await client.send(b"X-Note: drip\r\n")
    await until(lambda: connection._intake.partial > arrived)
    assert connection._deadline == deadline
    await client.close()


async def test_a_stream_without_news_says_so(served: Serving) -> None:
    client = await served.connect(FAST)
    await client.send(request("/v1/hints/stream"))
    await client.head()
    assert (await client.event())["id"] == "1-1"
    (connection,) = connections(served)
    connection.check(time.monotonic() + KEEP_ALIVE_S - 1)
    connection.check(time.monotonic() + KEEP_ALIVE_S)
    assert await client.event() == {"": "keep-alive"}
    await client.close()


async def test_who_asks_and_does_not_read_waits_and_is_cut_off(served: Serving) -> None:
    client = await served.connect(FAST)
    client.reader._limit = 1024
    client.writer.transport.pause_reading()
    for _ in range(400):
        client.writer.write(OPEN * 100)
        await asyncio.sleep(0)
    (connection,) = connections(served)
    await until(lambda: not connection._flowing)
    assert not connection._transport.is_reading()
    connection.check(time.monotonic() + STUCK_S)
    await until(lambda: connections(served) == [])
    client.writer.transport.abort()
    await asyncio.sleep(0)


class Narrow(asyncio.Transport):
    """Takes what is written first, and then waits for its reader."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self.connection.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert (high, low) == (0, None)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def test_a_reader_too_slow_for_the_first_snapshot_is_sent_the_newest_next(served: Serving) -> None:
    connection = Connection(served.listener._site)
    transport = Narrow(connection)
    connection.connection_made(transport)
    connection.data_received(request("/v1/hints/stream"))
    served.publish(snapshot(2))
    served.publish(snapshot(3))
    for _ in range(5):
        await asyncio.sleep(0)
    assert [b"id: 1-1" in written for written in transport.written] == [True]
    connection.resume_writing()
    assert [b"id: 1-3" in written for written in transport.written] == [False, True]
    connection.connection_lost(None)


async def test_each_answer_is_the_last_while_the_replica_drains(served: Serving) -> None:
    client = await served.connect(FAST)
    await client.send(OPEN)
    assert "connection" not in (await client.answer()).headers
    served.service.draining.set()
    draining = asyncio.create_task(served.listener.drain())
    await client.send(OPEN + OPEN)
    answers = [await client.answer(), await client.answer()]
    assert [answer.headers.get("connection") for answer in answers] == [None, "close"]
    assert await client.ended()
    await client.close()
    await draining
    with pytest.raises(ConnectionRefusedError):
        await served.connect(FAST)


async def test_a_problem_and_its_span_are_of_one_trace(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    # All that begin here are recorded, and no two are the same.
    numbers = count(10, 10)
    monkeypatch.setattr("tokenflow_api.serving.trace.getrandbits", lambda _: next(numbers))
    monkeypatch.setattr(SPANS, "wanted", True)
    SPANS.take()
    answer = await served.ask(FAST, "/v1/hints/nobody")
    assert [span.trace.trace_id for span in SPANS.take()] == [json.loads(answer.body)["trace_id"]]


async def test_an_old_client_is_sent_the_stream_without_chunks(served: Serving) -> None:
    client = await served.connect(FAST)
    await client.send(b"GET /v1/hints/stream HTTP/1.0\r\n\r\n")
    answer = await client.head()
    assert (answer.headers["connection"], answer.headers.get("transfer-encoding")) == ("close", None)
    assert (await client.reader.readline()) == b"event: snapshot\n"
    await client.close()


async def test_there_are_bounds_on_connections(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_api.serving.acceptor.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("tokenflow_api.serving.acceptor.PAUSE_S", 0.01)
    first, second, third = [await served.connect(FAST) for _ in range(3)]
    await third.send(OPEN)
    await second.send(OPEN)
    assert (await second.answer()).status == 200
    assert len(connections(served)) == 2
    # Who waits in the backlog is let in when another has left.
    await first.close()
    assert (await third.answer()).status == 200
    await second.close()
    await third.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop turn until something holds; fail where it never does."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
