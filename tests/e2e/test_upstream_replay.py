"""The engine without a model: what it sends, and when."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from e2e.bench.proc import free_port
from e2e.upstream.replay import serve
from e2e.upstream.stamps import generated, stamp, stamps
from e2e.upstream.timings import Recorded, Timings, TimingsError, recorded

QUICK = Recorded([(0.001, 0.001)])


@asynccontextmanager
async def engine(timings: Timings | Recorded = QUICK) -> AsyncIterator[httpx.AsyncClient]:
    port = free_port()
    serving = asyncio.create_task(serve(port, timings))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(100):
            try:
                await client.get("/v1/models")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
        yield client
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def test_a_token_tells_when_it_was_generated() -> None:
    told = stamp(1234.5678) + stamp(1234.9)
    assert len(told) == 12
    assert stamps(told, at=1235.0) == pytest.approx([1234.5678, 1234.9], abs=1e-4)


def test_digits_come_round() -> None:
    period = 36**5 / 10_000
    assert generated(int(stamp(period + 5), 36), at=period + 7) == pytest.approx(period + 5, abs=1e-4)


def test_what_is_no_stamp_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        stamps(" what's up", at=1.0)


async def test_a_stream_is_a_chunk_for_each_token_with_usage_and_an_end() -> None:
    async with engine() as client:
        asked = {"stream": True, "max_tokens": 5, "stream_options": {"include_usage": True}, "seed": 3}
        answer = await client.post("/v1/chat/completions", json=asked)
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    chunks = [json.loads(line) for line in lines[:-1]]
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]]
    assert lines[-1] == "[DONE]"
    assert contents[0] == ""
    assert len(stamps("".join(contents[1:6]), at=time.monotonic())) == 5
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"] == {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13}


async def test_an_answer_in_one_piece_is_a_completion() -> None:
    async with engine() as client:
        answer = (await client.post("/v1/chat/completions", json={"max_tokens": 3, "model": "m"})).json()
        missing = await client.post("/v1/nothing", json={})
    assert (answer["object"], answer["model"], answer["usage"]["completion_tokens"]) == ("chat.completion", "m", 3)
    assert len(answer["choices"][0]["message"]["content"].split()) == 3
    assert missing.status_code == 404


def test_the_same_seed_has_the_same_times() -> None:
    first, second, other = (list(itertools.islice(Timings().gaps(seed), 500)) for seed in (1, 1, 2))
    assert first == second != other
    assert sum(first[1:]) / 499 == pytest.approx(0.027, rel=0.1)


def test_a_recording_is_repeated_after_its_first_token(tmp_path: Path) -> None:
    file = tmp_path / "times.csv"
    file.write_text("0.5,0.1,0.2\n0.7\n")
    known = recorded(file)
    assert list(itertools.islice(known.gaps(2), 5)) == [0.5, 0.1, 0.2, 0.1, 0.2]
    assert list(itertools.islice(known.gaps(1), 3)) == [0.7, 0.7, 0.7]


@pytest.mark.parametrize("words", ["", "0.1,x\n", "0.1,-2\n"])
def test_a_bad_recording_is_refused_by_name(tmp_path: Path, words: str) -> None:
    file = tmp_path / "times.csv"
    file.write_text(words)
    with pytest.raises(TimingsError, match=r"times\.csv"):
        recorded(file)
