"""What matters between the gateway and its neighbours, where the openai client does not look."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.gateway.admission.support import reply
from tests.gateway.support import eventually, hint, running, served
from tokenflow_api.quota import Refusal
from tokenflow_gateway.metrics import REGISTRY
from tokenflow_gateway.upstream import metrics

ASK = {"model": "llama-3", "messages": [{"role": "user", "content": "hi"}], "stream": True}
TOKEN = b'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'


class Engine:
    """An upstream that behaves as a test wants it to."""

    def __init__(self, *, tokens: int = 10_000, breaks: bool = False, compresses: bool = False) -> None:
        self._tokens = tokens
        self._breaks = breaks
        self._compresses = compresses
        self.thinks = False
        self.asked: web.Request | None = None
        self.left = asyncio.Event()
        self.sent = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.asked = request
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.set_cookie("session", "of another tenant")
        if self._compresses:
            response.enable_compression()
        await response.prepare(request)
        try:
            if self.thinks:
                await asyncio.Event().wait()
            for _ in range(self._tokens):
                await response.write(TOKEN)
                self.sent += 1
                await asyncio.sleep(0)
        except (ConnectionResetError, asyncio.CancelledError):
            self.left.set()
            raise
        if self._breaks and request.transport:
            request.transport.abort()
        return response


async def ask(url: str, **headers: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(f"{url}/v1/chat/completions", json=ASK, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


def said(body: bytes) -> str:
    """Return the text of a stream, however its tokens were batched."""
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in body.split(b"\n\n") if event]
    return "".join(choice["delta"]["content"] for chunk in chunks for choice in chunk.get("choices", ()))


async def test_an_upstream_is_told_when_a_reader_leaves_with_tokens_waiting(tmp_path: Path) -> None:
    engine = Engine()
    async with served(engine.app()) as upstream, running(tmp_path, upstream=upstream) as setup:
        await setup.told(hint(5.0))
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{setup.url}/v1/chat/completions", json=ASK)
            await answer.content.readany()
            # More than the gateway's queue and buffers hold between them would never come to be sent.
            await eventually(lambda: engine.sent > 1000)
            answer.close()
        await eventually(lambda: not setup.gateway.streams)
        async with asyncio.timeout(30):
            await engine.left.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reader_that_leaves_before_the_answer_pays_for_the_prompt(tmp_path: Path, *, stream: bool) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def think(_: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    engine = web.Application()
    engine.router.add_post("/v1/chat/completions", think)
    question = {"role": "user", "content": "a" * 4000}
    async with (
        served(engine) as upstream,
        running(tmp_path, upstream=upstream) as setup,
        aiohttp.ClientSession() as session,
    ):
        setup.hints.answers = [reply()]
        ask = {**ASK, "messages": [question], "stream": stream}
        answer = asyncio.create_task(session.post(f"{setup.url}/v1/chat/completions", json=ask))
        async with asyncio.timeout(30):
            await asked.wait()
            answer.cancel()
            await left.wait()
        await eventually(lambda: bool(setup.hints.commits))
        (done,) = setup.hints.commits
        assert (done.reservation, done.output_tokens) == ("r1", 0)
        assert 1000 <= done.input_tokens < 1020


async def test_a_reader_that_leaves_is_not_counted_as_a_failure_of_the_upstream(tmp_path: Path) -> None:
    def failures() -> float:
        samples = [sample for family in metrics.ERRORS.collect() for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name.endswith("_total"))

    engine = Engine()
    async with served(engine.app()) as upstream, running(tmp_path, upstream=upstream) as setup:
        await setup.told(hint(500.0))
        before = failures()
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{setup.url}/v1/chat/completions", json=ASK)
            await answer.content.readany()
            answer.close()
        await eventually(lambda: not setup.gateway.streams)
        assert failures() == before


async def test_headers_are_forwarded_in_any_case_and_credentials_and_cookies_never(tmp_path: Path) -> None:
    engine = Engine(tokens=1)
    async with served(engine.app()) as upstream, running(tmp_path, upstream=upstream) as setup:
        await setup.told(hint(100.0))
        for _ in range(2):
            headers = {"content-type": "application/json", "authorization": "Bearer sk", "accept-encoding": "gzip"}
            await ask(setup.url, **headers)
            assert engine.asked
            assert engine.asked.content_type == "application/json"
            assert "Authorization" not in engine.asked.headers
            assert "Cookie" not in engine.asked.headers


async def test_an_engine_that_likes_to_compress_is_asked_not_to(tmp_path: Path) -> None:
    engine = Engine(tokens=3, compresses=True)
    async with served(engine.app()) as upstream, running(tmp_path, upstream=upstream) as setup:
        await setup.told(hint(100.0))
        assert said((await ask(setup.url))[1]) == "aaa"


async def test_a_broken_stream_ends_with_the_reason(tmp_path: Path) -> None:
    engine = Engine(tokens=2, breaks=True)
    async with served(engine.app()) as upstream, running(tmp_path, upstream=upstream) as setup:
        await setup.told(hint(100.0))
        _, body = await ask(setup.url)
    *_, last = body.removesuffix(b"\n\n").split(b"\n\n")
    assert said(body) == "aa"
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert error["code"] == "upstream_broke_off"
    assert "llama" in error["message"]


async def test_an_answer_that_tells_no_usage_is_estimated(tmp_path: Path) -> None:
    async def chat(_: web.Request) -> web.Response:
        return web.Response(text="x" * 400)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    usage = "tokenflow_gateway_usage_tokens_total"
    before = REGISTRY.get_sample_value(usage, {"tenant": "gold", "direction": "output"}) or 0.0
    async with served(app) as upstream, running(tmp_path, upstream=upstream) as setup:
        assert (await ask(setup.url))[1] == b"x" * 400
    assert REGISTRY.get_sample_value(usage, {"tenant": "gold", "direction": "output"}) == before + 100


async def test_a_stream_that_takes_too_long_in_all_ends_with_the_reason(tmp_path: Path) -> None:
    engine = Engine(tokens=10**9)
    timeouts = {"connect": "1s", "firstToken": "1s", "betweenTokens": "1s", "total": "1s"}
    async with served(engine.app()) as upstream:
        upstreams = [{"name": "llama", "url": upstream, "models": ["llama-3"]}]
        gateway = {"replicas": 1, "upstreams": upstreams, "timeouts": timeouts}
        async with running(tmp_path, gateway=gateway) as setup:
            await setup.told(hint(100.0))
            _, body = await ask(setup.url)
    error = json.loads(body.removesuffix(b"\n\n").rpartition(b"data: ")[2])["error"]
    assert error["code"] == "upstream_timeout"
    assert "spec.gateway.timeouts.total" in error["message"]


async def test_a_request_that_went_ahead_and_is_refused_ends_its_upstreams_work(tmp_path: Path) -> None:
    engine = Engine(tokens=1)
    async with served(engine.app()) as upstream, running(tmp_path, upstream=upstream) as setup:
        setup.hints.answers = [reply(), reply(Refusal.TOKENS, wait_ms=2100)]
        assert (await ask(setup.url))[0] == 200
        engine.thinks = True
        async with asyncio.timeout(30):
            status, body = await ask(setup.url)
            await engine.left.wait()
        assert (status, json.loads(body)["error"]["code"]) == (429, "tokens_per_minute")
        assert setup.gateway.door.running == 0


async def test_a_reader_that_leaves_before_the_check_is_done_pays_for_the_prompt(tmp_path: Path) -> None:
    engine = Engine(tokens=1)
    async with (
        served(engine.app()) as upstream,
        running(tmp_path, upstream=upstream) as setup,
        asyncio.timeout(30),
    ):
        setup.hints.answers = [reply(), reply()]
        assert (await ask(setup.url))[0] == 200
        engine.asked, engine.thinks = None, True
        setup.hints.answering.clear()
        leaving = asyncio.create_task(ask(setup.url))
        await eventually(lambda: engine.asked is not None)
        leaving.cancel()
        await engine.left.wait()
        setup.hints.answering.set()
        await eventually(lambda: len(setup.hints.commits) == 2)
        first, second = setup.hints.commits
        assert (second.input_tokens, second.output_tokens) == (first.input_tokens, 0)
        assert second.input_tokens > 0


async def test_a_request_that_went_ahead_and_has_to_wait_is_sent_anew_in_its_turn(tmp_path: Path) -> None:
    asked, left = [0], asyncio.Event()

    async def chat(_: web.Request) -> web.Response:
        asked[0] += 1
        if asked[0] == 2:
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
        return web.json_response({"usage": {"prompt_tokens": 3, "completion_tokens": asked[0]}})

    engine = web.Application()
    engine.router.add_post("/v1/chat/completions", chat)
    async with served(engine) as upstream, running(tmp_path, upstream=upstream) as setup:
        setup.hints.answers = [reply(), reply(Refusal.CAPACITY), reply()]
        async with asyncio.timeout(30):
            assert [(await ask(setup.url))[0] for _ in range(2)] == [200, 200]
            await left.wait()
        await eventually(lambda: len(setup.hints.commits) == 2)
        assert [(one.input_tokens, one.output_tokens) for one in setup.hints.commits] == [(3, 1), (3, 3)]
        assert (asked, setup.gateway.door.running) == ([3], 0)


async def test_with_a_hedge_no_request_goes_ahead(tmp_path: Path) -> None:
    asked = [0]

    async def chat(_: web.Request) -> web.Response:
        asked[0] += 1
        return web.json_response({})

    engine = web.Application()
    engine.router.add_post("/v1/chat/completions", chat)
    async with served(engine) as upstream:
        upstreams = [{"name": "llama", "url": upstream, "models": ["llama-3"]}]
        async with running(tmp_path, gateway={"upstreams": upstreams, "hedgeAfter": "10s"}) as setup:
            setup.hints.answers = [reply(), reply(Refusal.TOKENS, wait_ms=2100)]
            assert [(await ask(setup.url))[0] for _ in range(2)] == [200, 429]
    assert asked == [1]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v1/nothing", 404, "unknown_url"), ("PUT", "/v1/models", 405, "method_not_allowed")],
)
async def test_unknown_routes_are_answered_in_openais_form(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async with (
        running(tmp_path) as setup,
        aiohttp.ClientSession() as session,
        session.request(method, f"{setup.url}{path}") as answer,
    ):
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code


async def test_a_body_without_a_length_is_bounded_too(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096

    async with running(tmp_path) as setup, aiohttp.ClientSession() as session:
        answer = await session.post(f"{setup.url}/v1/chat/completions", data=endless())
        assert answer.status == 413
        answer.close()


@pytest.mark.parametrize("credentials", [b"Bearer \xff\xfe", b"Basic eDp5", b""])
async def test_strange_credentials_are_refused_where_a_key_is_needed(tmp_path: Path, credentials: bytes) -> None:
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "key").write_text("sk-gold")
    tenants = [{"name": "gold", "apiKeysSecretRef": {"name": "keys"}}]
    async with running(tmp_path, tenants=tenants) as setup:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(setup.url.rsplit(":", 1)[1]))
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: " + credentials + b"\r\n\r\n")
        async with asyncio.timeout(30):
            assert b" 401 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
