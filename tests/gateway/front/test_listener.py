"""The port as a whole: many connections, TLS, and leaving."""

import asyncio
import time
from pathlib import Path

import aiohttp
import httpx
import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset
from prometheus_client import CollectorRegistry

from tests.gateway.front.support import PATIENCE_S, Held, Reader1, Reader2, served, until
from tests.serving.authority import Authority
from tokenflow_api.serving.figures import Figures
from tokenflow_api.serving.tls import Certificates
from tokenflow_gateway.front.exchange import Answer, Request
from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.listener import Front
from tokenflow_gateway.front.switch import ALPN, PREFACE

HURRIED = Limits(linger_s=0.05)
GET = b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"


@pytest.fixture(autouse=True)
def looked_after_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_gateway.front.listener._CHECK_S", 0.01)


def certificates(directory: Path) -> Certificates:
    return Certificates(directory, figures=Figures(CollectorRegistry()), protocols=ALPN)


def turned_away(tls: Certificates) -> float:
    """Return how many were told not to speak plain HTTP here."""
    (family,) = tls.figures.plain_http.collect()
    return family.samples[0].value


async def names(request: Request, answer: Answer) -> None:
    """Answer with the version of HTTP."""
    answer.start(200, {})
    answer.write(request.http.encode())
    answer.finish()


async def test_a_thousand_clients_that_come_at_once_are_all_served() -> None:
    busy = True

    async with served(names) as front:

        async def client() -> bytes:
            async with await Reader1.connect(front) as reader:
                reader.send(GET)
                body = (await reader.reply()).body
                while busy:
                    reader.send(GET)
                    await reader.reply()
                return body

        clients = [asyncio.ensure_future(client()) for _ in range(500)]
        late = [asyncio.ensure_future(client()) for _ in range(500)]
        await until(lambda: front.connections >= 500)
        await until(lambda: front.connections == 1000)
        busy = False
        assert await asyncio.gather(*clients, *late) == [b"1.1"] * 1000


@pytest.mark.parametrize("split", [1, 2, 3, 15, 23, len(PREFACE)])
async def test_the_preface_may_arrive_in_pieces(split: int) -> None:
    async with served(names) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        client = Reader2(reader, writer)
        client.h2.initiate_connection()
        data = client.h2.data_to_send()
        writer.write(data[:split])
        await until(lambda: front.connections == 1)
        writer.write(data[split:])
        async with client:
            assert (await client.reply(client.ask())).body == b"2"


async def test_who_says_nothing_is_closed() -> None:
    async with served(names) as front, await Reader1.connect(front) as client:
        client.send(b"P")
        await until(lambda: front.connections == 1)
        for connection in tuple(front._site.connections):
            connection.check(time.monotonic() + 11)
        await until(lambda: front.connections == 0)


@pytest.mark.parametrize(("http2", "version"), [(True, "2"), (False, "1.1")])
async def test_tls_chooses_the_version_of_http(tmp_path: Path, *, http2: bool, version: str) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "gateway")
    async with (
        served(names, tls=certificates(tmp_path)) as front,
        httpx.AsyncClient(http2=http2, verify=authority.client()) as client,
    ):
        for _ in range(2):
            response = await client.get(f"https://127.0.0.1:{front.port}/")
            assert (response.text, response.http_version) == (version, f"HTTP/{version}")


async def test_a_renewed_certificate_counts_for_connections_that_follow(tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "first")
    tls = certificates(tmp_path)
    held = Held()

    async def subject(front: Front) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=authority.client())
        certificate = writer.get_extra_info("peercert")
        return str(dict(part[0] for part in certificate["subject"])["commonName"]), reader, writer

    async with served(held, tls=tls) as front:
        name, *ends = await subject(front)
        assert name == "first"
        async with Reader1(*ends) as early:
            early.send(GET)
            answer = await held.next()
            await early.head()
            authority.issue(tmp_path, "second")
            assert tls.refresh()
            name, *ends = await subject(front)
            assert name == "second"
            ends[1].transport.abort()
            answer.write(b"still here")
            assert await early.chunk() == b"still here"


@pytest.mark.parametrize(
    "said",
    [
        GET,
        b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
        PREFACE,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n",
        b"G",
    ],
)
async def test_plain_http_on_a_port_of_tls_is_told_so(tmp_path: Path, said: bytes) -> None:
    Authority("ca").issue(tmp_path, "gateway")
    tls = certificates(tmp_path)
    async with served(names, tls=tls) as front, await Reader1.connect(front) as client:
        client.send(said)
        reply = await client.reply()
        assert (reply.status, reply.headers["Connection"]) == (400, "close")
        assert b"write https://" in reply.body
        assert await client.rest() == b""
        client.writer.write_eof()
        await until(lambda: turned_away(tls) == 1)
        assert front.connections == 0


async def test_who_goes_on_in_clear_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_api.serving.plain_http.LINGER_S", 0.05)
    Authority("ca").issue(tmp_path, "gateway")
    tls = certificates(tmp_path)
    async with served(names, tls=tls) as front, await Reader1.connect(front) as client:
        client.send(GET)
        await client.reply()
        while not turned_away(tls):
            client.send(b"x")
            await asyncio.sleep(0)


async def test_a_body_in_clear_may_come_in_pieces_and_only_so_much_of_it(tmp_path: Path) -> None:
    Authority("ca").issue(tmp_path, "gateway")
    tls = certificates(tmp_path)
    async with served(names, tls=tls) as front:
        async with await Reader1.connect(front) as client:
            client.send(b"POST / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n")
            assert (await client.reply()).status == 400
            for _ in range(64):
                client.send(b"x" * 1024)
                await asyncio.sleep(0.001)
            assert turned_away(tls) == 0
            assert await client.rest() == b""
            client.writer.write_eof()
            await until(lambda: turned_away(tls) == 1)
        async with await Reader1.connect(front) as client:
            client.send(b"POST / HTTP/1.1\r\n\r\n" + b"x" * (512 << 10))
            await until(lambda: turned_away(tls) == 2)


async def test_who_says_nothing_at_a_port_of_tls_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_api.serving.acceptor.HANDSHAKE_S", 0.05)
    Authority("ca").issue(tmp_path, "gateway")
    async with served(names, tls=certificates(tmp_path)) as front, await Reader1.connect(front) as client:
        assert await client.rest() == b""


async def test_a_slow_reader_by_tls_is_told_of_and_gets_everything(tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "gateway")
    held = Held()
    async with served(held, tls=certificates(tmp_path)) as front:
        ends = await asyncio.open_connection("127.0.0.1", front.port, ssl=authority.client())
        async with Reader1(*ends) as client:
            client.send(GET)
            answer = await held.next()
            await client.head()
            answer.keep_waiting_here(unsent_bytes=16_384)
            flowed = asyncio.Event()
            answer.on_flow(flowed.set)
            client.writer.transport.pause_reading()
            written = 0
            while answer.flowing:
                answer.write(b"x" * 10_000)
                written += 10_000
                await asyncio.sleep(0)
            assert answer.waiting_bytes > 0
            client.writer.transport.resume_reading()
            received = 0
            while received < written:
                received += len(await client.chunk())
            await asyncio.wait_for(flowed.wait(), PATIENCE_S)


async def test_whoever_speaks_no_tls_leaves_others_alone(tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "gateway")
    tls = certificates(tmp_path)
    async with served(names, tls=tls) as front:
        async with await Reader1.connect(front) as plain:
            plain.send(b"\x00 neither TLS nor HTTP")
            assert b"HTTP" not in await plain.rest()
        connector = aiohttp.TCPConnector(ssl=authority.client())
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://127.0.0.1:{front.port}/") as response,
        ):
            assert await response.text() == "1.1"
        assert turned_away(tls) == 0


async def test_a_gateway_that_leaves_lets_streams_end_and_takes_no_connection() -> None:
    held = Held()
    async with (
        served(held, limits=HURRIED) as front,
        await Reader1.connect(front) as client,
        await Reader2.connect(front) as second,
    ):
        client.send(GET)
        first = await held.next()
        number = second.ask()
        other = await held.next()
        draining = asyncio.ensure_future(front.drain(PATIENCE_S))
        await until(lambda: front._site.leaving)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", front.port)
        for answer in (first, other):
            answer.write(b"data: [DONE]\n\n")
            answer.finish()
        held.let_go.set()
        assert (await client.reply()).body == b"data: [DONE]\n\n"
        assert (await second.reply(number)).body == b"data: [DONE]\n\n"
        # Not before: some clients break off what is running when they are told.
        await second.until(lambda: bool(second.goodbyes))
        assert await draining == 0
        assert (front.connections, front.in_flight) == (0, 0)


async def test_a_busy_connection_is_told_to_go_after_a_while_and_its_streams_end() -> None:
    held = Held()
    limits = Limits(linger_s=0.05, leave_s=0.05)
    async with served(held, limits=limits) as front, await Reader2.connect(front) as client:
        number = client.ask()
        answer = await held.next()
        draining = asyncio.ensure_future(front.drain(PATIENCE_S))
        await client.until(lambda: bool(client.goodbyes))
        assert client.goodbyes == [(number, ErrorCodes.NO_ERROR)]
        client.ask()
        await client.until(lambda: bool(client.seen(StreamReset)))
        assert client.seen(StreamReset)[0].error_code == ErrorCodes.REFUSED_STREAM
        answer.write(b"whole")
        answer.finish()
        held.let_go.set()
        assert (await client.reply(number)).body == b"whole"
        assert await draining == 0


async def test_httpx_reads_its_streams_to_the_end_while_the_gateway_leaves() -> None:
    held = Held()
    async with served(held, limits=HURRIED) as front, httpx.AsyncClient(http1=False, http2=True) as client:
        async with client.stream("GET", f"http://127.0.0.1:{front.port}/") as response:
            answer = await held.next()
            draining = asyncio.ensure_future(front.drain(PATIENCE_S))
            await until(lambda: front._site.leaving)
            answer.write(b"whole")
            answer.finish()
            held.let_go.set()
            assert await response.aread() == b"whole"
        assert await draining == 0


async def test_a_connection_that_rests_may_ask_once_more_and_is_told_to_go() -> None:
    async with served(names) as front, await Reader1.connect(front) as client:
        client.send(GET)
        assert "connection" not in (await client.reply()).headers
        draining = asyncio.ensure_future(front.drain(PATIENCE_S))
        await until(lambda: front._site.leaving)
        client.send(GET)
        assert (await client.reply()).headers["connection"] == "close"
        assert await client.rest() == b""
        assert await draining == 0


async def test_a_stream_that_does_not_end_in_time_is_broken_off() -> None:
    held = Held()
    async with (
        served(held, limits=HURRIED) as front,
        await Reader1.connect(front) as client,
        await Reader2.connect(front) as second,
    ):
        client.send(GET)
        (await held.next()).write(b"data: 1\n\n")
        second.ask()
        await held.next()
        assert await front.drain(0.01) == 2
        assert held.cancelled.is_set()
        await client.head()
        assert await client.chunk() == b"data: 1\n\n"
        assert await client.rest() == b""
        await second.until(lambda: second.closed)
        assert second.seen(StreamReset)[0].error_code == ErrorCodes.INTERNAL_ERROR


async def test_the_last_words_of_a_stream_are_still_sent() -> None:
    async def handler(_: Request, answer: Answer) -> None:
        answer.start(200, {})
        try:
            await asyncio.Event().wait()
        finally:
            answer.write(b"event: resume\n\n")
            answer.finish()

    async with served(handler, limits=HURRIED) as front, await Reader1.connect(front) as client:
        client.send(GET)
        await client.head()
        assert await front.drain(0.01) == 1
        assert await client.chunk() == b"event: resume\n\n"
        assert await client.chunk() == b""
