"""One request over several upstreams."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.gateway.support import NEVER_S
from tests.gateway.upstream.fleets import Clock, eventually, fleet_of, taken
from tests.gateway.upstream.servers import (
    ASK,
    OK,
    PATIENCE_S,
    Say,
    Server,
    Sink,
    hangs,
    says,
    says_and_closes,
    serving,
    upstream,
)
from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import (
    InvalidRequestError,
    UpstreamBrokeOffError,
    UpstreamError,
    UpstreamKeyRefusedError,
    UpstreamTimeoutError,
)
from tokenflow_gateway.metrics import REGISTRY
from tokenflow_gateway.upstream.attempts import attempts
from tokenflow_gateway.upstream.breaker import BreakerState
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.fleet import Fleet
from tokenflow_gateway.upstream.trial import Attempt, Wish

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST = STREAM + b"5\r\nfirst\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown"
GONE = "http://127.0.0.1:1"
"""Nobody listens there."""


@dataclass
class Setup:
    """Upstreams a, b and so on."""

    servers: list[Server]
    fleet: Fleet
    client: UpstreamClient

    @asynccontextmanager
    async def ask(self, *, first: str = "a", outgoing: Outgoing = ASK, **wished: Any) -> AsyncIterator[Attempt]:
        """Ask the upstream of that name first."""
        limits: dict[str, Any] = {"connect_s": NEVER_S, "first_token_s": NEVER_S, "total_s": NEVER_S, "retries": 1}
        wish = Wish(model="llama-3", prefix=None, **limits | wished)
        others = {view.name for view in self.fleet.view()} - {first}
        lease = taken(self.fleet, exclude=others)
        async with attempts(self.fleet, self.client, outgoing, wish, lease=lease) as attempt:
            yield attempt

    @property
    def in_flight(self) -> list[int]:
        return [view.in_flight for view in self.fleet.view()]


@asynccontextmanager
async def running(*says: Say | None, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Setup]:
    """Have upstreams that answer so; ``None`` is one that is gone."""
    async with AsyncExitStack() as stack:
        servers, specs = [], []
        for name, say in zip("abc", says, strict=False):
            if say is None:
                specs.append(Upstream(name=name, url=GONE))
                continue
            servers.append(await stack.enter_async_context(serving(say)))
            specs.append(upstream(servers[-1], name=name))
        fleet, client = await stack.enter_async_context(fleet_of(*specs, clock=clock))
        yield Setup(servers, fleet, client)


def counted(name: str, outcome: str) -> float:
    labels = {"upstream": name, "outcome": outcome}
    return REGISTRY.get_sample_value("tokenflow_gateway_upstream_requests_total", labels) or 0.0


async def endless(server: Server, _: int, writer: asyncio.StreamWriter) -> None:
    writer.write(FIRST)
    await server.left.wait()


@pytest.mark.parametrize(
    "failing",
    [
        None,
        says(UNAVAILABLE),
        says(UNAVAILABLE.replace(b"503", b"502")),
        says(UNAVAILABLE.replace(b"503", b"504")),
        says_and_closes(b""),
        says_and_closes(STREAM),
        says(b"no HTTP at all\r\n\r\n"),
    ],
)
async def test_what_fails_before_the_body_begins_is_tried_elsewhere(failing: Say | None) -> None:
    async with running(failing, says(OK)) as setup:
        async with setup.ask() as attempt:
            assert (attempt.upstream.name, attempt.head.status, attempt.tries) == ("b", 200, 2)
            assert setup.in_flight == [0, 1]
            assert await attempt.call.read(most=10, within_s=NEVER_S) == b"ok"
        assert setup.in_flight == [0, 0]


async def test_one_that_fails_again_and_again_is_asked_no_more() -> None:
    async with running(None, says(OK)) as setup:
        for _ in range(5):
            async with setup.ask():
                pass
        assert [view.breaker for view in setup.fleet.view()] == [BreakerState.OPEN, BreakerState.CLOSED]
        async with setup.ask(first="b") as attempt:
            assert attempt.tries == 1


@pytest.mark.parametrize("status", [400, 404, 429, 500, 501])
async def test_other_answers_are_the_readers(status: int) -> None:
    answer = b"HTTP/1.1 %d Such\r\nContent-Length: 4\r\n\r\nword" % status
    async with running(says(answer), says(OK)) as setup:
        async with setup.ask() as attempt:
            assert (attempt.head.status, attempt.tries) == (status, 1)
            assert await attempt.call.read(most=10, within_s=NEVER_S) == b"word"
        assert setup.servers[1].requests == []


async def test_a_refusal_of_the_gateways_key_is_not_told_as_one_of_the_readers() -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nword"
    async with running(says(refusal), says(OK)) as setup:
        with pytest.raises(UpstreamKeyRefusedError, match="upstream 'a' refuses the gateway's API key: put one"):
            async with setup.ask(retries=0):
                pass
        async with setup.ask(retries=1) as attempt:
            assert (attempt.upstream.name, attempt.head.status) == ("b", 200)
        assert setup.in_flight == [0, 0]


async def test_without_another_upstream_the_answer_of_the_last_is_the_readers() -> None:
    async with running(says(UNAVAILABLE)) as setup, setup.ask(retries=5) as attempt:
        assert (attempt.head.status, attempt.tries) == (503, 1)
        assert await attempt.call.read(most=10, within_s=NEVER_S) == b"down"


@pytest.mark.parametrize(("retries", "status", "tries"), [(0, 503, 1), (1, 503, 2), (2, 200, 3), (5, 200, 3)])
async def test_no_more_is_tried_than_the_policy_says(retries: int, status: int, tries: int) -> None:
    async with running(says(UNAVAILABLE), says(OK), says(UNAVAILABLE)) as setup:
        for _ in range(2):
            setup.fleet.take("llama-3", prefix=None, exclude={"a", "c"})
        async with setup.ask(retries=retries) as attempt:
            assert (attempt.head.status, attempt.tries) == (status, tries)


async def test_an_outage_is_not_multiplied() -> None:
    async with running(says(UNAVAILABLE), says(UNAVAILABLE)) as setup:
        while setup.fleet.budget.withdraw():
            pass
        tries = []
        for _ in range(5):
            async with setup.ask() as attempt:
                tries.append(attempt.tries)
        assert tries == [1, 1, 1, 1, 2]


async def test_after_the_first_byte_nothing_is_tried_again() -> None:
    async with running(says_and_closes(FIRST), says(OK)) as setup:
        failed = counted("a", "BrokeOff")
        async with setup.ask() as attempt:
            sink = Sink()
            attempt.call.pipe(sink)
            await asyncio.wait_for(sink.ended.wait(), PATIENCE_S)
            assert sink.body == b"first"
            assert isinstance(sink.error, UpstreamBrokeOffError)
        assert setup.servers[1].requests == []
        assert counted("a", "BrokeOff") == failed + 1


async def test_silence_before_the_first_token_ends_in_a_timeout_and_is_not_tried_again() -> None:
    async def head_alone(server: Server, _: int, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        await server.left.wait()

    async with running(head_alone, says(OK)) as setup:
        with pytest.raises(UpstreamTimeoutError, match="'a' did not answer in time"):
            async with setup.ask(first_token_s=0.1):
                pass
        await asyncio.wait_for(setup.servers[0].left.wait(), PATIENCE_S)
        assert (setup.servers[1].requests, setup.in_flight) == ([], [0, 0])


async def test_a_stream_beyond_the_total_is_cancelled() -> None:
    async def read(setup: Setup) -> None:
        async with setup.ask(total_s=0.2) as attempt:
            sink = Sink()
            attempt.call.pipe(sink)
            await sink.ended.wait()

    async with running(endless) as setup:
        with pytest.raises(UpstreamTimeoutError, match=r"not over within 0\.2 s: .* spec\.gateway\.timeouts\.total"):
            await read(setup)
        await asyncio.wait_for(setup.servers[0].left.wait(), PATIENCE_S)
        assert setup.in_flight == [0]


async def test_a_timeout_of_whoever_reads_is_their_own() -> None:
    async with running(says(OK)) as setup:
        with pytest.raises(TimeoutError):
            async with setup.ask():
                raise TimeoutError


async def test_a_failure_before_the_body_counts_once() -> None:
    async with running(says_and_closes(STREAM)) as setup:
        failed, broke_off = counted("a", "Failed"), counted("a", "BrokeOff")
        for _ in range(4):
            with pytest.raises(UpstreamBrokeOffError):
                async with setup.ask():
                    pass
        assert (counted("a", "Failed") - failed, counted("a", "BrokeOff") - broke_off) == (4, 0)
        assert setup.fleet.view()[0].breaker is BreakerState.CLOSED


async def test_when_nobody_answers_the_last_reason_is_told() -> None:
    async with running(None) as setup:
        with pytest.raises(UpstreamError, match="upstream 'a' is out of reach"):
            async with setup.ask(retries=5):
                pass


async def test_a_request_that_cannot_be_sent_is_the_readers_fault_and_no_upstreams() -> None:
    async with running(says(OK), says(OK)) as setup:
        with pytest.raises(InvalidRequestError):
            async with setup.ask(outgoing=Outgoing(method="GET", target="/ /")):
                pass
        assert setup.in_flight == [0, 0]
        assert [view.breaker for view in setup.fleet.view()] == [BreakerState.CLOSED] * 2


@pytest.mark.parametrize("hedge_after_s", [None, 0.01])
async def test_a_reader_that_leaves_cancels_whatever_is_under_way_at_once(hedge_after_s: float | None) -> None:
    async def read(setup: Setup) -> None:
        async with setup.ask(hedge_after_s=hedge_after_s):
            pass

    async with running(hangs, hangs) as setup:
        reading = asyncio.create_task(read(setup))
        servers = setup.servers[:1] if hedge_after_s is None else setup.servers
        for server in servers:
            await asyncio.wait_for(server.asked.wait(), PATIENCE_S)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        for server in servers:
            await asyncio.wait_for(server.left.wait(), PATIENCE_S)
        assert setup.in_flight == [0, 0]


async def test_a_silent_upstream_is_hedged_and_the_loser_cancelled() -> None:
    async with running(hangs, says(OK)) as setup:
        async with setup.ask(hedge_after_s=0.05) as attempt:
            assert (attempt.upstream.name, attempt.tries) == ("b", 2)
            await asyncio.wait_for(setup.servers[0].left.wait(), PATIENCE_S)
            assert setup.in_flight == [0, 1]
            assert await attempt.call.read(most=10, within_s=NEVER_S) == b"ok"
        assert setup.in_flight == [0, 0]


async def test_the_first_of_two_may_still_win() -> None:
    other_asked = asyncio.Event()

    async def late(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        await other_asked.wait()
        writer.write(OK)

    async def other(server: Server, _: int, __: asyncio.StreamWriter) -> None:
        other_asked.set()
        await server.left.wait()

    async with running(late, other) as setup, setup.ask(hedge_after_s=0.05) as attempt:
        assert attempt.upstream.name == "a"
        await asyncio.wait_for(setup.servers[1].left.wait(), PATIENCE_S)


async def test_one_that_fails_while_hedged_leaves_the_race_to_the_other() -> None:
    other_failed = asyncio.Event()

    async def late(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        await other_failed.wait()
        writer.write(OK)

    async def fails(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(UNAVAILABLE)
        asyncio.get_running_loop().call_later(0.05, other_failed.set)

    async with running(late, fails) as setup, setup.ask(hedge_after_s=0.05) as attempt:
        assert (attempt.upstream.name, attempt.head.status) == ("a", 200)


async def test_both_that_fail_in_a_race_are_given_back_before_a_third_is_asked() -> None:
    other_failed = asyncio.Event()

    async def late(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        await other_failed.wait()
        writer.write(UNAVAILABLE)

    async def fails(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(UNAVAILABLE)
        other_failed.set()

    async with running(late, fails, says(OK)) as setup:
        setup.fleet.take("llama-3", prefix=None, exclude={"a", "b"})
        async with setup.ask(hedge_after_s=0.02) as attempt:
            assert (attempt.upstream.name, attempt.tries) == ("c", 3)
            assert setup.in_flight == [0, 0, 2]


async def test_nobody_else_is_asked_when_the_first_answers_soon() -> None:
    async with running(says(OK), says(OK)) as setup, setup.ask(hedge_after_s=NEVER_S) as attempt:
        assert (attempt.upstream.name, attempt.tries, setup.servers[1].requests) == ("a", 1, [])


async def test_the_only_upstream_is_waited_for_however_silent() -> None:
    async def late(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.1, writer.write, OK)

    async with running(late) as setup, setup.ask(hedge_after_s=0.01) as attempt:
        assert (attempt.upstream.name, attempt.tries) == ("a", 1)


async def test_one_that_falls_silent_again_and_again_can_be_reported() -> None:
    async with running(endless, says(OK)) as setup:
        for _ in range(10):
            async with setup.ask() as attempt:
                attempt.lease.failed()
        assert [view.breaker for view in setup.fleet.view()] == [BreakerState.OPEN, BreakerState.CLOSED]


async def test_the_head_of_a_probe_lets_others_in_before_its_first_token() -> None:
    clock, first_token = Clock(), asyncio.Event()

    async def slow(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        await first_token.wait()
        writer.write(b"5\r\nfirst\r\n0\r\n\r\n")

    async with running(slow, clock=clock) as setup:
        for _ in range(5):
            with taken(setup.fleet) as lease:
                lease.failed()
        clock.now += 1.0

        async def probe() -> int:
            async with setup.ask() as attempt:
                return attempt.head.status

        probing = asyncio.create_task(probe())
        await eventually(lambda: setup.fleet.view()[0].breaker is BreakerState.CLOSED)
        assert not probing.done()
        first_token.set()
        assert await probing == 200
