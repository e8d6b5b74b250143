"""Calls over real TCP."""

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.support import NEVER_S
from tests.gateway.upstream.fleets import eventually
from tests.gateway.upstream.servers import (
    ASK,
    NO_KEYS,
    OK,
    PATIENCE_S,
    Server,
    Sink,
    hangs,
    says,
    says_and_closes,
    serving,
    upstream,
)
from tests.serving.authority import Authority
from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import (
    InvalidRequestError,
    UpstreamBrokeOffError,
    UpstreamError,
    UpstreamTimeoutError,
)
from tokenflow_gateway.upstream import pool
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.keys import UpstreamKeys
from tokenflow_gateway.upstream.origin import parse_origin, request_bytes
from tokenflow_gateway.upstream.pool import Pool
from tokenflow_gateway.upstream.pooled_call import PooledCall

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = 4 * 1024 * 1024


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    async with UpstreamClient(UpstreamKeys(NO_KEYS)) as client:
        yield client


async def answer_of(client: UpstreamClient, server: Server, outgoing: Outgoing = ASK) -> bytes:
    async with client.call(upstream(server), outgoing, connect_s=NEVER_S) as call:
        await call.head(within_s=NEVER_S)
        return await call.read(most=BIG, within_s=NEVER_S)


async def test_an_answer_is_read_whole_and_its_connection_used_again(client: UpstreamClient) -> None:
    async with serving(says(OK)) as server:
        for _ in range(3):
            async with client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
                head = await call.head(within_s=NEVER_S)
                assert (head.status, head.headers) == (200, {"content-length": "2"})
                assert await call.read(most=10, within_s=NEVER_S) == b"ok"
        assert server.connections == 1
        assert server.requests[0] == (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\n"
            b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}" % server.port
        )


async def test_a_stream_is_handed_on_as_it_comes(client: UpstreamClient) -> None:
    go_on = asyncio.Event()

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with serving(say) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        sink = Sink()
        await call.begin(within_s=NEVER_S)
        call.pipe(sink)
        assert (sink.parts, sink.ends) == ([b"one"], 0)
        go_on.set()
        await asyncio.wait_for(sink.ended.wait(), PATIENCE_S)
        assert (sink.parts, sink.ends, sink.error) == ([b"one", b"two"], 1, None)


async def test_a_whole_answer_can_be_piped_after_it_has_come(client: UpstreamClient) -> None:
    async with serving(says(OK)) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        await call.begin(within_s=NEVER_S)
        sink = Sink()
        call.pipe(sink)
        assert (sink.body, sink.ends, sink.error) == (b"ok", 1, None)


async def test_a_connection_closed_when_it_was_used_again_costs_one_more_connection(client: UpstreamClient) -> None:
    async def say(_: Server, number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.close()
        else:
            writer.write(OK)

    async with serving(say) as server:
        assert [await answer_of(client, server) for _ in range(2)] == [b"ok", b"ok"]
        assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_connection_closed_while_it_rested_is_not_used(client: UpstreamClient) -> None:
    async with serving(says_and_closes(OK)) as server:
        for _ in range(2):
            await answer_of(client, server)
        assert (server.connections, len(server.requests)) == (2, 2)


async def test_a_fresh_connection_without_an_answer_is_not_tried_again(client: UpstreamClient) -> None:
    async with serving(says_and_closes(b"")) as server:
        with pytest.raises(UpstreamBrokeOffError, match="closed the connection without an answer"):
            await answer_of(client, server)
        assert len(server.requests) == 1


async def test_an_answer_that_had_begun_is_not_asked_for_again(client: UpstreamClient) -> None:
    async def say(_: Server, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if number == 0 else b"HTTP/1.1 2")
        if number:
            writer.close()

    async with serving(say) as server:
        await answer_of(client, server)
        with pytest.raises(UpstreamBrokeOffError, match="broke off in the midst"):
            await answer_of(client, server)
        assert len(server.requests) == 2


async def test_what_an_upstream_sends_unasked_is_the_answer_to_nothing(client: UpstreamClient) -> None:
    more = asyncio.Event()

    async def say(server: Server, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        if number == 0:
            await more.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await server.left.wait()

    async with serving(say) as server:
        assert await answer_of(client, server) == b"ok"
        more.set()
        await asyncio.wait_for(server.left.wait(), PATIENCE_S)
        assert await answer_of(client, server) == b"ok"
        assert server.connections == 2


async def test_an_answer_before_the_whole_request_was_sent_ends_the_connection(client: UpstreamClient) -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.wait_for(gone.wait(), PATIENCE_S)
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=1024)
    spec = Upstream(name="llama", url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        large = Outgoing(method="POST", target="/", body=b"x" * 32 * BIG)
        async with client.call(spec, large, connect_s=NEVER_S) as call:
            assert (await call.head(within_s=NEVER_S)).status == 413
            assert await call.read(most=10, within_s=NEVER_S) == b"no"
        gone.set()
        assert client._pool(spec).rested() is None


async def test_a_reader_that_leaves_is_noticed_by_the_upstream_at_once(client: UpstreamClient) -> None:
    async def say(server: Server, _: int, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"3\r\none\r\n")
        await server.left.wait()

    async with serving(say) as server:
        async with client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
            await call.begin(within_s=NEVER_S)
            sink = Sink()
            call.pipe(sink)
        await asyncio.wait_for(server.left.wait(), PATIENCE_S)
        assert (sink.body, sink.ends) == (b"one", 0)


@pytest.mark.parametrize("answer", [OK, STREAM + b"3\r\none\r\n"])
async def test_a_reader_that_cancels_as_it_is_fed_hears_nothing_more(client: UpstreamClient, answer: bytes) -> None:
    class Impatient(Sink):
        def feed(self, data: bytes) -> None:
            super().feed(data)
            call.cancel()

    async with serving(says(answer)) as server:
        call = await client.send(upstream(server), ASK, connect_s=NEVER_S)
        sink = Impatient()
        call.pipe(sink)
        await eventually(lambda: bool(sink.parts))
        assert (len(sink.parts), sink.ends) == (1, 0)
        assert (client._pool(upstream(server)).rested() is not None) is (answer == OK)


async def test_who_waits_for_an_answer_that_is_cancelled_is_told(client: UpstreamClient) -> None:
    async with serving(hangs) as server:
        call = await client.send(upstream(server), ASK, connect_s=NEVER_S)
        waiting = asyncio.create_task(call.head(within_s=NEVER_S))
        await server.asked.wait()
        call.cancel()
        with pytest.raises(UpstreamError, match="was cancelled"):
            await waiting
        with pytest.raises(UpstreamError, match="was cancelled"):
            await call.read(most=10, within_s=NEVER_S)


async def test_an_upstream_waits_for_a_paused_reader(client: UpstreamClient) -> None:
    sent = 0
    block = b"%x\r\n%b\r\n" % (65536, b"x" * 65536)

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        writer.transport.set_write_buffer_limits(high=65536)
        writer.write(STREAM)
        for part in [block] * 1024:
            writer.write(part)
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")

    async with serving(say) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        await call.begin(within_s=NEVER_S)
        stuck = await settled(lambda: sent)
        assert stuck < 512
        sink = Sink()
        call.pipe(sink)
        call.pause()
        assert await settled(lambda: sent) < 512
        call.resume()
        await asyncio.wait_for(sink.ended.wait(), NEVER_S)
        assert (len(sink.body), sink.error) == (1024 * 65536, None)


async def test_what_came_while_paused_is_handed_on_when_asked_for(client: UpstreamClient) -> None:
    go_on = asyncio.Event()

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n")

    async with serving(say) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        sink = Sink()
        await call.begin(within_s=NEVER_S)
        call.pipe(sink)
        call.pause()
        assert not call.read_waiting()
        go_on.set()
        await eventually(call.read_waiting)
        assert sink.parts == [b"one", b"two"]
        assert not call.read_waiting()


@pytest.mark.parametrize("asked_for", [True, False])
async def test_an_upstream_that_breaks_off_while_paused_is_found_out(
    client: UpstreamClient, *, asked_for: bool
) -> None:
    go_on = asyncio.Event()

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        # Without a length: an end as it should be would make the answer whole.
        writer.write(b"HTTP/1.1 200 OK\r\n\r\none")
        await go_on.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(say) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        sink = Sink()
        await call.begin(within_s=NEVER_S)
        call.pipe(sink)
        call.pause()
        go_on.set()
        if asked_for:
            await eventually(call.read_waiting)
        else:
            call.resume()
        await asyncio.wait_for(sink.ended.wait(), PATIENCE_S)
        assert (sink.body, sink.ends) == (b"one", 1)
        assert isinstance(sink.error, UpstreamBrokeOffError)


async def test_an_end_is_left_to_whoever_reads_on(client: UpstreamClient) -> None:
    go_on = asyncio.Event()

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\none")
        await go_on.wait()
        writer.close()

    async with serving(say) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        await call.begin(within_s=NEVER_S)
        sink = Sink()
        call.pipe(sink)
        call.pause()
        go_on.set()
        await eventually(lambda: readable(call))
        assert not call.read_waiting()
        call.resume()
        await asyncio.wait_for(sink.ended.wait(), PATIENCE_S)
        assert (sink.body, sink.error) == (b"one", None)


def readable(call: PooledCall) -> bool:
    """Return whether the kernel holds something of the upstream, or its end."""
    assert call._connection
    return bool(select.select([call._connection._descriptor], [], [], 0)[0])


async def settled(number: Callable[[], int]) -> int:
    """Return a number that no longer grows."""
    before = -1
    while number() != before:
        before = number()
        await asyncio.sleep(0.1)
    return before


async def test_a_body_beyond_the_bound_is_refused(client: UpstreamClient) -> None:
    async with serving(says(OK)) as server, client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
        with pytest.raises(UpstreamError, match="more than 1 bytes"):
            await call.read(most=1, within_s=NEVER_S)


async def test_an_upstream_that_says_nothing_runs_into_the_timeout_and_is_left(client: UpstreamClient) -> None:
    async with serving(hangs) as server:
        with pytest.raises(UpstreamTimeoutError, match=r"spec\.gateway\.timeouts"):
            async with client.call(upstream(server), ASK, connect_s=NEVER_S) as call:
                await call.head(within_s=0.05)
        await asyncio.wait_for(server.left.wait(), PATIENCE_S)


async def test_nobody_listens(client: UpstreamClient) -> None:
    async with serving(says(OK)) as server:
        spec = upstream(server)
    with pytest.raises(UpstreamError, match=r"'llama' is out of reach .*: check spec\.gateway\.upstreams"):
        async with client.call(spec, ASK, connect_s=NEVER_S):
            pass


async def test_a_connection_that_is_not_made_in_time_is_given_up(client: UpstreamClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        spec = Upstream(name="llama", url=f"http://127.0.0.1:{full.getsockname()[1]}")
        with pytest.raises(UpstreamError, match="no connection in time"):
            async with client.call(spec, ASK, connect_s=0.1):
                pass


async def test_the_first_address_that_answers_is_taken(client: UpstreamClient, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def addresses(host: str, port: int, **hints: Any) -> list[Any]:
        found = ["127.0.0.2", "127.0.0.1"] if host == "two.example" else [host]
        return [address for one in found for address in await resolve(one, port, **hints)]

    monkeypatch.setattr(loop, "getaddrinfo", addresses)
    async with serving(says(OK)) as server:
        spec = Upstream(name="llama", url=f"http://two.example:{server.port}")
        async with client.call(spec, ASK, connect_s=NEVER_S) as call:
            assert await call.read(most=10, within_s=NEVER_S) == b"ok"


async def test_old_connections_carry_no_new_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONGEST_S", 0.0)
    async with serving(says(OK)) as server, UpstreamClient(UpstreamKeys(NO_KEYS)) as client:
        for _ in range(2):
            await answer_of(client, server)
        assert server.connections == 2


async def test_connections_that_rest_for_too_long_are_closed() -> None:
    async with serving(says(OK)) as server:
        origin = parse_origin(server.url)
        resting = Pool("llama", origin, tls=ssl.create_default_context(), idle_s=0.05)
        call = PooledCall(resting, request_bytes(origin, ASK, api_key=""), bodiless=False, connect_s=NEVER_S)
        await call.send()
        assert await call.read(most=10, within_s=NEVER_S) == b"ok"
        await asyncio.wait_for(server.left.wait(), PATIENCE_S)
        resting.close()


async def test_no_more_connections_rest_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_IDLE", 1)
    together = asyncio.Barrier(3)

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(OK)

    async with serving(say) as server, UpstreamClient(UpstreamKeys(NO_KEYS)) as client:
        await asyncio.gather(*[answer_of(client, server) for _ in range(3)])
        await asyncio.wait_for(server.left.wait(), PATIENCE_S)
        assert client._pool(upstream(server)).rested() is not None
        assert client._pool(upstream(server)).rested() is None


async def test_connections_to_upstreams_that_are_gone_are_let_go(client: UpstreamClient) -> None:
    async with serving(says(OK)) as server:
        await answer_of(client, server)
        client.keep(())
        await asyncio.wait_for(server.left.wait(), PATIENCE_S)


@pytest.mark.parametrize(
    "outgoing",
    [
        Outgoing(method="GET", target="/v1/models HTTP/1.1\r\nX: y"),
        Outgoing(method="GET /", target="/v1/models"),
        Outgoing(method="GET", target="//other.example\x00"),
        Outgoing(method="GET", target="http://other.example/"),
        Outgoing(method="GET", target="/", headers={"x": "y\r\nHost: other"}),
        Outgoing(method="GET", target="/", headers={"x y": "z"}),
    ],
)
async def test_a_request_never_becomes_two(client: UpstreamClient, outgoing: Outgoing) -> None:
    async with serving(says(OK)) as server:
        with pytest.raises(InvalidRequestError, match="holds characters that it may not"):
            await answer_of(client, server, outgoing)
        assert server.requests == []


async def test_headers_of_the_connection_are_the_gateways_own(client: UpstreamClient) -> None:
    smuggled = {"Content-Length": "0", "Transfer-Encoding": "chunked", "Host": "other", "Authorization": "Bearer mine"}
    async with serving(says(OK)) as server:
        await answer_of(client, server, Outgoing(method="POST", target="/", headers=smuggled, body=b"{}"))
        assert server.requests[0] == (
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}"
            % server.port
        )


async def test_a_path_in_the_url_stands_before_all_others(client: UpstreamClient) -> None:
    async with serving(says(OK)) as server:
        spec = Upstream(name="llama", url=f"http://me:secret@127.0.0.1:{server.port}/engines/one/")
        async with client.call(spec, Outgoing(method="GET", target="/v1/models?x=y"), connect_s=NEVER_S) as call:
            await call.head(within_s=NEVER_S)
        assert server.requests[0].startswith(b"GET /engines/one/v1/models?x=y HTTP/1.1\r\n")
        assert b"\r\nAuthorization: Basic bWU6c2VjcmV0\r\n" in server.requests[0]
        assert b"secret@" not in server.requests[0]


async def test_an_upstream_by_https_must_show_a_certificate_of_a_known_authority(tmp_path: Path) -> None:
    authority, stranger = Authority("known"), Authority("stranger")
    authority.issue(tmp_path, "upstream")
    async with serving(says(OK), tls=authority.server(tmp_path)) as server:
        async with UpstreamClient(UpstreamKeys(NO_KEYS), tls=authority.client()) as client:
            assert [await answer_of(client, server) for _ in range(2)] == [b"ok", b"ok"]
            assert server.connections == 1
        async with UpstreamClient(UpstreamKeys(NO_KEYS), tls=stranger.client()) as client:
            with pytest.raises(UpstreamError, match="its certificate is refused: unable to get local issuer"):
                await answer_of(client, server)


async def test_the_gateway_shows_its_own_key_and_a_new_one_without_a_restart(tmp_path: Path) -> None:
    now = 0.0
    secret = tmp_path / "llama"
    keys = UpstreamKeys(tmp_path, clock=lambda: now)
    async with serving(says(OK)) as server, UpstreamClient(keys) as client:
        spec = upstream(server, apiKeySecretRef={"name": "llama-key"})

        async def shown() -> bytes:
            async with client.call(spec, ASK, connect_s=NEVER_S) as call:
                await call.head(within_s=NEVER_S)
            (line,) = [line for line in server.requests[-1].split(b"\r\n") if line.startswith(b"Authorization")]
            return line

        with pytest.raises(UpstreamError, match="put it as value apiKey into Secret 'llama-key'"):
            await shown()
        secret.mkdir()
        for number in (1, 2):
            (secret / "apiKey").write_text(f"sk-{number}{'0' * number}\n")
            now += 2.0
            assert await shown() == b"Authorization: Bearer sk-%d%b" % (number, b"0" * number)
        (secret / "apiKey").write_text("two words")
        now += 2.0
        with pytest.raises(UpstreamError, match="has no API key"):
            await shown()
