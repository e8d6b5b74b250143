"""An OpenAI-compatible endpoint with a made-up model: it tells as many words as asked, at a steady pace."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web

MODEL: Final = "llama-3"
_WORDS: Final = ("the", "packet", "went", "over", "a", "thin", "link", "and", "came", "back", "in", "time")
_DEFAULT_TOKENS: Final = 256
_RATE: Final = web.AppKey("rate", float)


def words(number: int) -> Iterator[str]:
    """Yield that many words; each is one token."""
    for index, word in zip(range(number), itertools.cycle(_WORDS), strict=False):
        yield word if index == 0 else f" {word}"


def application(*, tokens_per_second: float) -> web.Application:
    """Return the endpoint, telling at the given pace."""
    app = web.Application()
    app[_RATE] = tokens_per_second
    app.add_routes([web.post("/v1/chat/completions", _chat), web.get("/v1/models", _models)])
    return app


async def _models(_: web.Request) -> web.Response:
    models = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "tokenflow"}]
    return web.json_response({"object": "list", "data": models})


async def _chat(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    number = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or _DEFAULT_TOKENS)
    if not asked.get("stream"):
        return web.json_response(_whole(asked, number))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    await response.write(_event(_chunk(asked, {"role": "assistant", "content": ""})))
    started = time.monotonic()
    for index, word in enumerate(words(number)):
        due = started + index / request.app[_RATE]
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await response.write(_event(_chunk(asked, {"content": word})))
    await response.write(_event(_chunk(asked, {}, finish_reason="length")))
    if (asked.get("stream_options") or {}).get("include_usage"):
        await response.write(_event({**_chunk(asked, {}), "choices": [], "usage": _usage(number)}))
    await response.write(b"data: [DONE]\n\n")
    return response


def _chunk(asked: dict[str, Any], delta: dict[str, str], *, finish_reason: str | None = None) -> dict[str, Any]:
    """Return a chunk as engines write it: some 220 bytes around each token."""
    return {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": asked.get("model", MODEL),
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }


def _whole(asked: dict[str, Any], number: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(words(number))}
    return {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.get("model", MODEL),
        "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
        "usage": _usage(number),
    }


def _usage(number: int) -> dict[str, int]:
    return {"prompt_tokens": 8, "completion_tokens": number, "total_tokens": number + 8}


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
