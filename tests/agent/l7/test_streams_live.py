"""Streams of server-sent events over loopback, seen by the running kernel."""

import asyncio
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.agent.l7.support import Watch, rows, spec
from tokenflow_agent.l7.hooks import Way
from tokenflow_api.telemetry_agent import Probe

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
GAP_S = 0.05
EVENTS = 20


async def stream(
    write: Callable[[bytes], None], head: bytes, frame: Callable[[bytes], bytes], *, sent: list[float]
) -> None:
    """Send a head and events that are ``GAP_S`` apart, and note when."""
    write(head)
    sent.append(time.monotonic())
    for number in range(EVENTS):
        await asyncio.sleep(GAP_S)
        write(frame(b'data: {"choices": [{"delta": {"content": "word%d"}}]}\n\n' % number))
        sent.append(time.monotonic())


def plain(data: bytes) -> bytes:
    return data


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def read_all(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    while data := await reader.read(65536):
        if data.endswith(b"0\r\n\r\n"):
            break
    writer.close()
    await writer.wait_closed()


@pytest.mark.bpf
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until the end of the connection"])
async def test_a_stream_has_its_events_and_gaps_while_it_runs(watch: Watch, chunked: bool) -> None:
    sent: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = HEAD + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Connection: close\r\n\r\n")
        await stream(writer.write, head, chunk if chunked else plain, sent=sent)
        if chunked:
            writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        client = asyncio.create_task(read_all(port))
        while len(sent) < EVENTS / 2:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        early = [row for row in rows((await watch.collect()).http, port) if row["direction"] == "Served"]
        await client
    found = await watch.until(port, requests=1)
    late = [row for each in found for row in rows(each.http, port) if row["direction"] == "Served"]

    assert [row["requests"] for row in early] == [0]
    assert EVENTS / 4 < int(str(early[0]["events"])) < EVENTS
    took = [then - before for before, then in pairwise(sent)]
    assert early[0]["first_event_p50_us"] == pytest.approx(took[0] * 1e6, rel=0.2)
    assert sum(int(str(row["events"])) for row in early + late) == EVENTS
    assert sum(int(str(row["streams"])) for row in late) == 1
    gaps_us = [gap * 1e6 for gap in took[1 : int(str(early[0]["events"]))]]
    for row in early:
        assert row["gap_p50_us"] == pytest.approx(statistics.median(gaps_us), rel=0.2)
        assert row["status"] == "2xx"
    assert {row["route"] for row in early + late} == {"/v1/*"}
    assert "word" not in repr(found)


STREAMS = 150
SHORT = 4


async def serve_short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with a stream of ``SHORT`` events, one write each."""
    for _ in range(STREAMS):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for number in range(SHORT):
            await asyncio.sleep(0)
            writer.write(chunk(b"data: word%d\n\n" % number))
        writer.write(b"0\r\n\r\n")
    writer.close()


async def read_short(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(STREAMS):
        writer.write(b"POST /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"v1/a", b"v1/b/c")[number % 2])
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


@pytest.mark.bpf
@pytest.mark.parametrize("watch", [None, Way.CALLS, Way.RAW], ids=["best way", "calls", "raw"], indirect=True)
async def test_streams_that_follow_each_other_on_a_kept_connection_all_count(watch: Watch) -> None:
    await watch.source.follow(spec(Probe.HTTP_LATENCY, templates=["/v1/a", "/v1/b/*"]))
    server = await asyncio.start_server(serve_short, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await read_short(port)
    found = await watch.until(port, requests=STREAMS)

    body = sum(len(chunk(b"data: word%d\n\n" % number)) for number in range(SHORT)) + len(b"0\r\n\r\n")
    for direction in ("Served", "Dialed"):
        seen = [row for each in found for row in rows(each.http, port) if row["direction"] == direction]
        for route in ("/v1/a", "/v1/b/*"):
            of_it = [row for row in seen if row["route"] == route]
            totals = [sum(int(str(row[name])) for row in of_it) for name in ("requests", "streams", "events")]
            assert totals == [STREAMS // 2, STREAMS // 2, STREAMS // 2 * SHORT], (direction, route)
            assert sum(int(str(row["event_bytes"])) for row in of_it) == STREAMS // 2 * body
    assert sum(sum(each.lost.values()) for each in found) == 0
