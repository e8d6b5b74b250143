"""What streams go by, against a hint service on real TCP."""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.client.hint_service import FakeHintService, eventually, hint
from tokenflow_client import Circuit, HintFollower, Options, State, Status, TokenFlow, UsageError
from tokenflow_client._breaker import CircuitBreaker
from tokenflow_client._options import Endpoint
from tokenflow_client._session import HintSession


async def numbers(most: int) -> AsyncIterator[int]:
    for number in range(most):
        yield number


async def test_streams_go_by_the_hints_and_the_key_is_shown(hints: FakeHintService) -> None:
    await hints.say(hint(500.0))
    async with TokenFlow(hints.url, api_key="secret") as tf:
        await eventually(lambda: tf.state is State.LIVE)
        assert tf.status.tokens_per_second == 500.0
        assert [number async for number in tf.pace(numbers(20))] == list(range(20))
    (headers,) = hints.asked("/v1/hints/stream")
    assert headers["Authorization"] == "Bearer secret"
    assert len(headers["traceparent"]) == 55


async def test_rates_fall_at_once_and_rise_as_their_mean(hints: FakeHintService) -> None:
    await hints.say(hint(80.0))
    async with TokenFlow(hints.url, options=Options(mean_of=2)) as tf:
        rates = [80.0]
        await eventually(lambda: tf.status.tokens_per_second == 80.0)
        for told, paced in ((10.0, 10.0), (50.0, 30.0), (50.0, 50.0)):
            await hints.say(hint(told))
            await eventually(lambda paced=paced: tf.status.tokens_per_second == paced)  # type: ignore[misc]
            rates.append(paced)
    assert rates == [80.0, 10.0, 30.0, 50.0]


async def test_the_narrower_hint_wins(hints: FakeHintService) -> None:
    await hints.say(hint(80.0), hint(10.0, path="llama/192.0.2.0/24", batch=4, delay_ms=50))
    async with TokenFlow(hints.url, path="llama/192.0.2.0/24") as tf:
        await eventually(lambda: tf.state is State.LIVE)
        assert tf.status.tokens_per_second == 10.0
        assert (tf.status.pace.batch_size, tf.status.pace.batch_delay_s) == (4, 0.05)


async def test_hints_are_read_one_by_one_where_their_stream_does_not_come_through(hints: FakeHintService) -> None:
    hints.streams = False
    await hints.say(hint(40.0))
    async with TokenFlow(hints.url, tenant="gold") as tf:
        await eventually(lambda: tf.state is State.LIVE and hints.unchanged > 0)
        assert tf.status.tokens_per_second == 40.0
        await hints.say(hint(30.0))
        await eventually(lambda: tf.status.tokens_per_second == 30.0)
        assert tf.status.circuit is Circuit.CLOSED


async def test_a_service_that_is_gone_is_told_with_its_reason_and_comes_back(hints: FakeHintService) -> None:
    hints.streams = hints.reads = False
    told: list[Status] = []
    await hints.say(hint(40.0))
    async with TokenFlow(hints.url, tenant="gold", on_state=told.append) as tf:
        await eventually(lambda: tf.state is State.FALLBACK)
        assert tf.status.tokens_per_second == 20.0
        assert "no streams today" in tf.status.reason
        hints.streams = True
        await eventually(lambda: tf.state is State.LIVE)
    assert [status.state for status in told if status.circuit is Circuit.CLOSED] == [State.FALLBACK, State.LIVE]


async def test_a_hint_that_nobody_renews_drifts(hints: FakeHintService) -> None:
    hints.ttl_ms = 50
    hints.reads = False
    await hints.say(hint(80.0))
    told: list[Status] = []
    async with TokenFlow(hints.url, options=Options(fallback=10.0), on_state=told.append) as tf:
        await eventually(lambda: tf.state is State.DRIFTING)
        assert 10.0 < tf.status.tokens_per_second <= 80.0
    assert [status.state for status in told][:2] == [State.LIVE, State.DRIFTING]


async def test_who_comes_back_tells_the_last_snapshot_that_it_has(hints: FakeHintService) -> None:
    await hints.say(hint(40.0))
    async with TokenFlow(hints.url) as tf:
        await eventually(lambda: tf.state is State.LIVE)
        hints.cut()
        await eventually(lambda: len(hints.asked("/v1/hints/stream")) == 2)
    assert [headers.get("Last-Event-ID") for headers in hints.asked("/v1/hints/stream")] == [None, "1-1"]


@pytest.mark.parametrize(
    ("tenant", "words"),
    [("", "several tenants are told (gold, silver): write tenant="), ("iron", "the tenant 'iron'")],
)
async def test_hints_that_are_not_ours_are_told_as_trouble(
    hints: FakeHintService, caplog: pytest.LogCaptureFixture, tenant: str, words: str
) -> None:
    hints.reads = False
    for _ in range(2):
        await hints.say(hint(40.0), hint(50.0, tenant="silver"))
    async with TokenFlow(hints.url, tenant=tenant) as tf:
        await eventually(lambda: tf.state is State.FALLBACK)
        assert words in tf.status.reason
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [words in message for message in told] == [True]


async def test_a_callback_that_fails_ends_nothing(hints: FakeHintService, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Status) -> None:
        raise ValueError("mine")

    await hints.say(hint(40.0))
    async with TokenFlow(hints.url, on_state=fail) as tf:
        await eventually(lambda: tf.state is State.LIVE)
        await hints.say(hint(30.0))
        await eventually(lambda: tf.status.tokens_per_second == 30.0)
    assert "on_state failed" in caplog.text


async def test_the_circuit_opens_and_one_request_closes_it(hints: FakeHintService) -> None:
    hints.streams = False
    follower = HintFollower(hints.url)
    follower.breaker = CircuitBreaker(failures=1, open_s=0.2)
    following = asyncio.create_task(follower.run())
    await eventually(lambda: follower.breaker.state is Circuit.OPEN)
    assert "no streams today" in follower.failure
    hints.streams = True
    await hints.say(hint(40.0))
    await eventually(lambda: follower.snapshot is not None)
    assert follower.breaker.state is Circuit.CLOSED
    assert not follower.failure
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_what_is_trusted_is_asked_before_each_connection(hints: FakeHintService) -> None:
    asked: list[ssl.SSLContext] = []

    def trust() -> ssl.SSLContext:
        asked.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        if len(asked) == 1:
            raise OSError("no such file")
        return asked[-1]

    await hints.say(hint(40.0))
    async with TokenFlow(hints.url, options=Options(tls=trust)) as tf:
        await eventually(lambda: tf.state is State.LIVE)
    assert len(asked) == 2


async def test_what_cannot_work_is_refused_with_what_to_write() -> None:
    with pytest.raises(UsageError, match=r"async with TokenFlow"):
        TokenFlow("http://hints").pace(numbers(1))
    with pytest.raises(UsageError, match="write http://<host>:<port>"):
        TokenFlow("hints:8080")
    with pytest.raises(UsageError, match="write http://<host>:<port>"):
        TokenFlow("http://hints:port")
    with pytest.raises(UsageError, match="stray line end"):
        TokenFlow("http://hints", api_key="secret\n")
    with pytest.raises(UsageError, match="it has a user or a password") as caught:
        TokenFlow("http://someone:hunter2@hints")
    assert "hunter2" not in str(caught.value)
    async with httpx.AsyncClient() as client:
        with pytest.raises(UsageError, match="verifies https itself"):
            TokenFlow("http://hints", client=client, options=Options(tls=ssl.create_default_context()))
    with pytest.raises(UsageError, match="fallback: inf"):
        Options(fallback=math.inf)
    with pytest.raises(UsageError, match="fallback: 0"):
        Options(fallback=0)
    with pytest.raises(UsageError, match="buffer: 0"):
        Options(buffer=0)
    with pytest.raises(UsageError, match="not a object"):
        TokenFlow("http://hints").wrap(object())


async def test_what_cannot_be_paced_is_refused_with_what_to_write(unused_tcp_port: int) -> None:
    async with TokenFlow(f"http://127.0.0.1:{unused_tcp_port}") as tf:
        with pytest.raises(UsageError, match="await a coroutine first"):
            tf.pace([1])  # type: ignore[arg-type]


async def test_a_stream_that_cannot_be_closed_keeps_neither_the_others_nor_the_following_open(
    unused_tcp_port: int,
) -> None:
    closed = list[str]()

    async def told(name: str) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(name)
            if name == "broken":
                raise OSError("still open")

    async def work() -> None:
        async with TokenFlow(f"http://127.0.0.1:{unused_tcp_port}") as tf:
            streams = [tf.pace(told(name)) for name in ("good", "broken", "fine")]
            for paced in streams:
                await anext(paced)

    with pytest.raises(OSError, match="still open"):
        await work()
    assert sorted(closed) == ["broken", "fine", "good"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_environment_that_httpx_cannot_follow_is_told_and_tried_again(
    hints: FakeHintService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hints.say(hint(40.0))
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    async with TokenFlow(hints.url) as tf:
        await eventually(lambda: "the proxies in the environment" in tf.status.reason)
        assert tf.state is State.FALLBACK
        monkeypatch.delenv("ALL_PROXY")
        await eventually(lambda: tf.state is State.LIVE)


async def test_a_client_of_the_callers_waits_as_long_as_our_own_and_may_be_closed_too_early() -> None:
    timeouts: list[dict[str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"])
        return httpx.Response(503)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with TokenFlow("http://hints", client=client) as tf:
        await eventually(lambda: bool(timeouts))
        await client.aclose()
        await eventually(lambda: "close it after this one" in tf.status.reason)
    assert timeouts[0]["read"] == 15.0


async def test_an_outage_is_told_and_ends_with_the_next_item(unused_tcp_port: int) -> None:
    now = 100.0
    session = HintSession(Endpoint(url=f"http://127.0.0.1:{unused_tcp_port}"), Options(), clock=lambda: now)
    running = asyncio.create_task(session.run())
    session.sources.waits()
    await eventually(lambda: session.status.state is State.FALLBACK)
    now += 2.0
    await eventually(lambda: session.status.state is State.PAUSED)
    assert "no source has spoken for 2 s" in session.status.reason
    session.sources.heard()
    await eventually(lambda: session.status.state is State.FALLBACK)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
