"""The real openai clients, paced, against an OpenAI-compatible endpoint on real TCP."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import openai
import pytest
from aiohttp import web

from e2e.upstream import words
from tests.client.hint_service import FakeHintService, eventually, hint, served
from tokenflow_client import (
    PacedStream,
    PacedTransport,
    State,
    StreamInterruptedError,
    SyncPacedTransport,
    SyncTokenFlow,
    TokenFlow,
    UsageError,
)

ASK = {"model": "llama-3", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 21}
TEXT = "".join(words(21))
# 23 chunks at 50 per second, the first at once and a tenth of a second to catch up.
LEAST_S = 22 / 50 - 0.1


@pytest.fixture
async def tf(hints: FakeHintService) -> AsyncIterator[TokenFlow]:
    await hints.say(hint(50.0))
    async with TokenFlow(hints.url) as tf:
        await eventually(lambda: tf.state is State.LIVE)
        yield tf


def client(model: str, **options: object) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=model, api_key="any", max_retries=0, **options)  # type: ignore[arg-type]


async def read(asked: openai.AsyncOpenAI) -> tuple[str, float]:
    started = time.monotonic()
    stream = await asked.chat.completions.create(stream=True, **ASK)  # type: ignore[call-overload]
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    return text, time.monotonic() - started


async def test_a_wrapped_client_is_paced_and_else_the_same(tf: TokenFlow, model: str) -> None:
    async with client(model) as plain:
        wrapped = tf.wrap(plain)
        assert isinstance(wrapped, openai.AsyncOpenAI)
        text, seconds = await read(wrapped)
        assert text == TEXT
        assert seconds >= LEAST_S
        whole = await wrapped.chat.completions.create(**ASK)  # type: ignore[call-overload]
        assert whole.choices[0].message.content == TEXT
        assert [one.id for one in (await wrapped.models.list()).data] == ["llama-3"]
        untouched = await plain.chat.completions.create(stream=True, **ASK)  # type: ignore[call-overload]
        assert isinstance(untouched, openai.AsyncStream)
        await untouched.close()


async def test_copies_of_a_wrapped_client_are_paced_too(tf: TokenFlow, model: str) -> None:
    async with client(model) as plain:
        assert (await read(tf.wrap(plain).with_options(timeout=60.0)))[1] >= LEAST_S


async def test_openais_own_helpers_see_a_stream_of_their_own(tf: TokenFlow, model: str) -> None:
    async with client(model) as plain:
        wrapped = tf.wrap(plain)
        stream = await wrapped.chat.completions.create(stream=True, **ASK)  # type: ignore[call-overload]
        assert isinstance(stream, PacedStream)
        assert stream.response.status_code == 200
        async with stream:
            await anext(stream)
        async with wrapped.chat.completions.stream(**ASK) as helper:  # type: ignore[arg-type]
            deltas = [event.delta async for event in helper if event.type == "content.delta"]
        assert "".join(deltas) == TEXT


async def test_a_transport_paces_whatever_goes_through_it(tf: TokenFlow, model: str) -> None:
    async with client(model, http_client=httpx.AsyncClient(transport=PacedTransport(tf))) as paced:
        text, seconds = await read(paced)
        assert text == TEXT
        assert seconds >= LEAST_S
        whole = await paced.chat.completions.create(**ASK)  # type: ignore[call-overload]
        assert whole.choices[0].message.content == TEXT


async def test_a_transport_hands_out_whole_events_byte_for_byte(tf: TokenFlow) -> None:
    events = ["data: é\n\n".encode(), b": keep-alive\r\n\r\n", "event: 漢\ndata: 1\n\n".encode(), b"data: unfinished"]
    sent = b"".join(events)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for index in range(len(sent)):
            await response.write(sent[index : index + 1])
        return response

    app = web.Application()
    app.router.add_get("/", stream)
    async with (
        served(app) as url,
        httpx.AsyncClient(transport=PacedTransport(tf)) as paced,
        paced.stream("GET", url) as response,
    ):
        assert [piece async for piece in response.aiter_raw()] == events


async def test_a_transport_whose_pacing_is_over_keeps_no_connection(model: str) -> None:
    one, asked = httpx.Limits(max_connections=1), ASK | {"stream": True}
    timeout = httpx.Timeout(60.0, pool=10.0)
    async with TokenFlow("http://hints") as tf:
        transport = PacedTransport(tf, httpx.AsyncHTTPTransport(limits=one))
    async with httpx.AsyncClient(transport=transport, timeout=timeout) as closed:
        for _ in range(2):
            with pytest.raises(UsageError, match="not open"):
                await closed.post(f"{model}/chat/completions", json=asked)

    def work() -> None:
        with SyncTokenFlow("http://hints") as tf:
            transport = SyncPacedTransport(tf, httpx.HTTPTransport(limits=one))
        with httpx.Client(transport=transport, timeout=timeout) as closed:
            for _ in range(2):
                with pytest.raises(UsageError, match="not open"):
                    closed.post(f"{model}/chat/completions", json=asked)

    await asyncio.to_thread(work)


async def test_leaving_a_stream_leaves_the_endpoint(tf: TokenFlow) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b'data: {"choices": []}\n\n')
                await asyncio.sleep(0.01)
        finally:
            left.set()

    app = web.Application()
    app.router.add_post("/chat/completions", endless)
    async with served(app) as url, client(url) as plain:
        stream = await tf.wrap(plain).chat.completions.create(stream=True, **ASK)  # type: ignore[call-overload]
        await anext(stream)
        await stream.close()
        async with asyncio.timeout(30):
            await left.wait()


async def test_a_gateway_that_leaves_is_told_with_the_text_so_far(tf: TokenFlow) -> None:
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'
    gone = b'data: {"error": {"message": "going", "code": "gateway_draining", "tokens_sent": 3}}\n\n'

    async def drained(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in (chunk % b"the packet", chunk % b" went", gone):
            await response.write(event)
        return response

    app = web.Application()
    app.router.add_post("/chat/completions", drained)
    async with served(app) as url, client(url) as plain:
        stream = await tf.wrap(plain).chat.completions.create(stream=True, **ASK)  # type: ignore[call-overload]
        with pytest.raises(StreamInterruptedError, match="after 3 tokens") as raised:
            async for _ in stream:
                pass
    assert (raised.value.text, raised.value.tokens) == ("the packet went", 3)
    assert isinstance(raised.value.__cause__, openai.APIError)


def read_sync(asked: openai.OpenAI) -> tuple[str, float]:
    started = time.monotonic()
    stream = asked.chat.completions.create(stream=True, **ASK)  # type: ignore[call-overload]
    text = "".join([chunk.choices[0].delta.content or "" for chunk in stream])
    return text, time.monotonic() - started


async def test_the_blocking_client_is_paced_wrapped_and_by_transport(hints: FakeHintService, model: str) -> None:
    await hints.say(hint(50.0))

    def work() -> list[tuple[str, float]]:
        with SyncTokenFlow(hints.url) as tf:
            while tf.state is not State.LIVE:
                time.sleep(0.01)
            with openai.OpenAI(base_url=model, api_key="any", max_retries=0) as plain:
                found = [read_sync(tf.wrap(plain)), read_sync(tf.wrap(plain).with_options(timeout=60.0))]
            through = httpx.Client(transport=SyncPacedTransport(tf))
            with openai.OpenAI(base_url=model, api_key="any", max_retries=0, http_client=through) as paced:
                found.append(read_sync(paced))
        return found

    found = await asyncio.to_thread(work)
    assert [text for text, _ in found] == [TEXT] * 3
    assert all(seconds >= LEAST_S for _, seconds in found)


async def test_each_client_wraps_its_own_kind(model: str) -> None:
    async with client(model) as plain:
        with pytest.raises(UsageError, match=r"an openai\.OpenAI, not a AsyncOpenAI"):
            SyncTokenFlow("http://hints").wrap(plain)
        with (
            openai.OpenAI(base_url=model, api_key="any") as blocking,
            pytest.raises(UsageError, match=r"an openai\.AsyncOpenAI, not a OpenAI"),
        ):
            TokenFlow("http://hints").wrap(blocking)
