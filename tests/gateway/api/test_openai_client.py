"""The real openai client against the gateway, over real TCP, with a made-up model behind it."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import openai
import pytest

from e2e.upstream import words
from tests.gateway.support import eventually, hint, running


@dataclass
class Reading:
    """What a stream brought."""

    text: str
    events: int
    seconds: float


async def read(client: openai.AsyncOpenAI, tokens: int) -> Reading:
    started = time.monotonic()
    text, events = "", 0
    stream = await client.chat.completions.create(
        model="llama-3", messages=[{"role": "user", "content": "hi"}], stream=True, max_tokens=tokens
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
            events += 1
    return Reading(text, events, time.monotonic() - started)


async def test_the_text_is_the_same_paced_and_in_batches(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(400.0, batch=8, delay_ms=50))
        reading = await read(setup.client, 80)
    assert reading.text == "".join(words(80))
    assert reading.events < 80 / 4


async def test_a_stream_keeps_to_the_hinted_rate(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(50.0))
        reading = await read(setup.client, 50)
    assert reading.seconds > 0.8
    assert reading.text == "".join(words(50))


async def test_a_running_stream_follows_a_new_hint(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(10.0))
        reading = asyncio.create_task(read(setup.client, 400))
        await asyncio.sleep(0.5)
        await setup.told(hint(2000.0))
        assert (await reading).seconds < 20.0


async def test_shadow_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, mode="Shadow") as setup:
        await setup.told(hint(1.0))
        reading = await read(setup.client, 100)
    assert reading.seconds < 30.0
    assert reading.events == 100


async def test_usage_and_plain_answers_pass(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(500.0))
        client = setup.client
        answer = await client.chat.completions.create(
            model="llama-3", messages=[{"role": "user", "content": "hi"}], max_tokens=3
        )
        assert answer.choices[0].message.content == "".join(words(3))
        stream = await client.chat.completions.create(
            model="llama-3",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            max_tokens=4,
            stream_options={"include_usage": True},
        )
        usages = [chunk.usage async for chunk in stream if chunk.usage]
        assert [usage.completion_tokens for usage in usages] == [4]
        assert [model.id for model in (await client.models.list()).data] == ["llama-3"]


async def test_a_reader_that_leaves_frees_its_stream(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(5.0))
        stream = await setup.client.chat.completions.create(
            model="llama-3", messages=[{"role": "user", "content": "hi"}], stream=True, max_tokens=1000
        )
        await anext(aiter(stream))
        assert len(setup.gateway.streams) == 1
        await stream.close()
        await eventually(lambda: not setup.gateway.streams)


async def test_more_streams_than_allowed_are_turned_away(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(5.0))
        ask = {"model": "llama-3", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 1000}
        open_ones = [await setup.client.chat.completions.create(**ask) for _ in range(2)]  # type: ignore[call-overload]
        with pytest.raises(openai.RateLimitError) as turned_away:
            await setup.client.chat.completions.create(**ask)  # type: ignore[call-overload]
        assert turned_away.value.response.headers["Retry-After"] == "1"
        for stream in open_ones:
            await stream.close()


async def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        with pytest.raises(openai.NotFoundError, match="llama-3"):
            await setup.client.chat.completions.create(
                model="gpt", messages=[{"role": "user", "content": "hi"}], stream=True
            )


async def test_a_missing_upstream_says_what_to_check(tmp_path: Path) -> None:
    async with running(tmp_path, upstream="http://127.0.0.1:9") as setup:
        with pytest.raises(openai.APIStatusError, match=r"spec\.gateway\.upstreams") as failed:
            await setup.client.chat.completions.create(
                model="llama-3", messages=[{"role": "user", "content": "hi"}], stream=True
            )
        assert failed.value.status_code == 502


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"{", 400, "invalid_request"), (b"[]", 400, "invalid_request"), (b"x" * 70_000, 413, "request_too_large")],
)
async def test_bad_bodies_are_refused_in_openais_form(tmp_path: Path, body: bytes, status: int, code: str) -> None:
    async with (
        running(tmp_path) as setup,
        aiohttp.ClientSession() as session,
        session.post(f"{setup.url}/v1/chat/completions", data=body) as answer,
    ):
        assert answer.status == status
        assert json.loads(await answer.text())["error"]["code"] == code


async def test_the_sockets_of_a_stream_are_reported_until_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(200.0))
        reading = await read(setup.client, 300)
        assert reading.text == "".join(words(300))

        def delivered() -> int:
            return sum(sum(rows.delivered_tokens) for rows in setup.hints.reported)

        await eventually(lambda: delivered() >= 299)
        rows = next(rows for rows in setup.hints.reported if rows.tenant)
    assert (rows.tenant, rows.upstream, rows.destination_class) == (["gold"], ["llama"], ["127.0.0.0/24"])
    assert rows.pod_name == ["gateway-0"]
    assert rows.srtt_us[0] > 0
