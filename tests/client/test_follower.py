"""The follower against a hint service on real TCP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from tokenflow_api.drift import DRIFT_S
from tokenflow_api.hints import Hint, PathState, Snapshot, Source
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_client import HintFollower

SPEC = PacingPolicySpec.model_validate(
    {"tenants": [{"name": "gold"}], "gateway": {"upstreams": [{"name": "a", "url": "http://a"}]}}
)
CONFIG = RuntimeConfig(namespace="default", name="demo", uid="u", generation=3, spec=SPEC)


def snapshot(rate: float, *, path: str = "*", version: int = 1) -> str:
    told = Hint(
        tenant="gold",
        path=path,
        tokens_per_second=rate,
        batch_size=1,
        batch_delay_ms=0,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
    )
    document = Snapshot(term=1, version=version, generation=1, at_unix_ms=0, ttl_ms=1000, health=1.0, hints=[told])
    return f"id: 1-{version}\nevent: snapshot\ndata: {document.model_dump_json()}\n\n"


class Service:
    """Answers each connection with the next of its scripts, then holds it open or ends it."""

    def __init__(self, *scripts: list[str], hold_last: bool = True) -> None:
        self._scripts = list(scripts)
        self._hold_last = hold_last
        self.tokens: list[str] = []

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization", ""))
        if not self._scripts:
            return web.Response(status=503, text="no snapshot yet")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self._scripts.pop(0):
            await response.write(event.encode())
        if not self._scripts and self._hold_last:
            await asyncio.Event().wait()
        return response

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/v1/hints/stream", self._stream)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def following(follower: HintFollower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for happens at the other end of a connection
            await asyncio.sleep(0.01)


async def test_hints_and_configs_arrive_and_the_narrower_hint_wins() -> None:
    configs: list[RuntimeConfig] = []
    service = Service([f"event: config\ndata: {CONFIG.model_dump_json()}\n\n", snapshot(40.0, path="a/192.0.2.0/24")])
    async with service.url() as url:
        follower = HintFollower(url, token=lambda: "secret", on_config=configs.append)
        async with following(follower):
            await eventually(lambda: follower.snapshot is not None)
            found = follower.hint("gold", "a/192.0.2.0/24", fallback=20.0)
            assert found
            assert found.tokens_per_second == 40.0
            assert follower.hint("gold", "a/198.51.100.0/24", fallback=20.0) is None
            assert configs == [CONFIG]
            assert service.tokens == ["Bearer secret"]


async def test_a_hint_that_nobody_renews_drifts_to_the_fallback() -> None:
    now = 100.0
    async with Service([snapshot(40.0)]).url() as url:
        follower = HintFollower(url, clock=lambda: now)
        async with following(follower):
            await eventually(lambda: follower.snapshot is not None)
        rates = []
        for age in (1.0, 1.0 + DRIFT_S / 2, 1.0 + 2 * DRIFT_S):
            now = 100.0 + age
            hint = follower.hint("gold", "any", fallback=20.0)
            assert hint
            rates.append(hint.tokens_per_second)
    assert rates == [40.0, 30.0, 20.0]


async def test_a_connection_that_ends_is_made_anew() -> None:
    async with Service([snapshot(40.0)], [snapshot(10.0, version=2)]).url() as url:
        follower = HintFollower(url)
        async with following(follower):
            await eventually(lambda: follower.snapshot is not None and follower.snapshot.version == 2)


async def test_an_event_that_cannot_be_read_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with Service(["event: config\ndata: {}\n\n", snapshot(40.0)]).url() as url:
        follower = HintFollower(url, on_config=lambda _: None)
        async with following(follower):
            await eventually(lambda: follower.snapshot is not None)
    assert "an event was refused" in caplog.text


async def test_a_refusal_is_logged_with_the_services_words(caplog: pytest.LogCaptureFixture) -> None:
    async with Service().url() as url:
        follower = HintFollower(url)
        async with following(follower):
            await eventually(lambda: any("no snapshot yet" in vars(one).get("reason", "") for one in caplog.records))
    assert not follower.connected


@pytest.mark.parametrize(("status", "words"), [(200, "answered 200 text/html"), (307, "answered 307")])
async def test_what_is_no_stream_of_hints_is_told(status: int, words: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"Content-Type": "text/html"}, text="<html>\n\n</html>\n\n")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        follower = HintFollower("http://elsewhere", client=client)
        async with following(follower):
            await eventually(lambda: "check the URL" in follower.failure)
            assert words in follower.failure


async def test_an_address_that_is_none_is_told() -> None:
    follower = HintFollower("http://hints:port")
    async with following(follower):
        await eventually(lambda: "Invalid port" in follower.failure)
