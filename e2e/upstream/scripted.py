"""An OpenAI-compatible engine that plays each kind of answer, by the name of the model (``e2e.upstream.script``)."""

import asyncio
import base64
import itertools
import json
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from aiohttp import web

from e2e.upstream.script import BREAKS, ENDLESS, MODELS, REFUSALS, SENTENCE, SLOW, Document, Script, script, tokens

_CREATED: Final = 1_700_000_000
_SLOW_S: Final = 60.0
_BREAKS_AFTER: Final = 5
_VECTOR: Final = (0.5, -0.25, 0.125)
_PROMPT_TOKENS: Final = 7

Play = Callable[[web.Request, Document], Awaitable[web.StreamResponse]]


class Engine:
    """The engine.

    Args:
        tokens_per_second: pace of its streams.
        models: those that it has; it knows no other.

    Attributes:
        asked: how many requests it took, by model.
        left: how often clients left it in the middle of an answer, by model.
    """

    def __init__(self, *, tokens_per_second: float, models: Sequence[str] = MODELS) -> None:
        self._pause_s = 1 / tokens_per_second
        self._names = models
        self.asked: Counter[str] = Counter()
        self.left: Counter[str] = Counter()

    def application(self) -> web.Application:
        """Return what serves it."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._playing(self._chat)),
                web.post("/v1/completions", self._playing(self._completion)),
                web.post("/v1/responses", self._playing(self._response)),
                web.post("/v1/embeddings", self._playing(_embeddings)),
            ]
        )
        return app

    async def _models(self, _: web.Request) -> web.Response:
        models = [
            {"id": model, "object": "model", "created": _CREATED, "owned_by": "tokenflow"} for model in self._names
        ]
        return web.json_response({"object": "list", "data": models})

    def _playing(self, play: Play) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked: Document = await request.json()
            model = asked["model"]
            self.asked[model] += 1
            if model not in self._names:
                return _refusal(404, "invalid_request_error", "model_not_found")
            if model in REFUSALS:
                return _refusal(*REFUSALS[model])
            try:
                if model == SLOW:
                    await asyncio.sleep(_SLOW_S)
                return await play(request, asked)
            except (asyncio.CancelledError, ConnectionResetError):
                self.left[model] += 1
                raise

        return handle

    async def _chat(self, request: web.Request, asked: Document) -> web.StreamResponse:
        scripts = [script(asked["model"], choice=index) for index in range(asked.get("n") or 1)]
        usage = _usage(sum(each.tokens for each in scripts))
        if not asked.get("stream"):
            return web.json_response(_whole(asked, scripts, usage))
        return await self._stream(request, asked["model"], _chunks(asked, scripts, usage))

    async def _completion(self, request: web.Request, asked: Document) -> web.StreamResponse:
        parts = tokens(SENTENCE)

        def document(text: str, finish_reason: str | None) -> Document:
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
            return _document(asked, "text_completion", [choice])

        if not asked.get("stream"):
            return web.json_response(document(SENTENCE, "stop") | {"usage": _usage(len(parts))})
        chunks = itertools.chain((document(part, None) for part in parts), [document("", "stop")])
        return await self._stream(request, asked["model"], map(_event, chunks))

    async def _response(self, request: web.Request, asked: Document) -> web.StreamResponse:
        if not asked.get("stream"):
            return web.json_response(_response_document(asked, "completed", SENTENCE))
        return await self._stream(request, asked["model"], _response_events(asked), done=b"")

    async def _stream(
        self, request: web.Request, model: str, chunks: Iterator[bytes], *, done: bytes = b"data: [DONE]\n\n"
    ) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": "request-1"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        async for number, chunk in self._paced(chunks):
            if model == BREAKS and number == _BREAKS_AFTER and request.transport:
                request.transport.abort()
                return response
            await response.write(chunk)
        await response.write(done)
        return response

    async def _paced(self, chunks: Iterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
        for number, chunk in enumerate(chunks):
            yield number, chunk
            await asyncio.sleep(self._pause_s)


async def _embeddings(_: web.Request, asked: Document) -> web.StreamResponse:
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    packed = base64.b64encode(struct.pack("<3f", *_VECTOR)).decode()
    vector = packed if asked.get("encoding_format") == "base64" else _VECTOR
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
    usage = {"prompt_tokens": _PROMPT_TOKENS, "total_tokens": _PROMPT_TOKENS}
    return web.json_response({"object": "list", "model": asked["model"], "data": data, "usage": usage})


def _refusal(status: int, kind: str, code: str) -> web.Response:
    error = {"message": f"the engine says {code}", "type": kind, "param": None, "code": code}
    headers = {"Retry-After": "7"} if status == web.HTTPTooManyRequests.status_code else {}
    return web.json_response({"error": error}, status=status, headers=headers)


def _document(asked: Document, kind: str, choices: list[Document]) -> Document:
    return {"id": "answer-1", "object": kind, "created": _CREATED, "model": asked["model"], "choices": choices}


def _usage(number: int) -> dict[str, int]:
    total = _PROMPT_TOKENS + number
    return {"prompt_tokens": _PROMPT_TOKENS, "completion_tokens": number, "total_tokens": total}


def _logprobs(asked: Document, parts: list[str]) -> Document | None:
    if not asked.get("logprobs"):
        return None
    return {"content": [{"token": part, "logprob": -0.5, "bytes": None, "top_logprobs": []} for part in parts]}


def _whole(asked: Document, scripts: list[Script], usage: dict[str, int]) -> Document:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", **each.message},
            "logprobs": _logprobs(asked, [delta.get("content", "") for delta in each.deltas]),
            "finish_reason": each.finish_reason,
        }
        for index, each in enumerate(scripts)
    ]
    return _document(asked, "chat.completion", choices) | {"usage": usage}


def _chunks(asked: Document, scripts: list[Script], usage: dict[str, int]) -> Iterator[bytes]:
    """Yield the events of a stream; several choices take turns, as engines let them."""

    def chunk(index: int, delta: Document, finish_reason: str | None = None) -> bytes:
        logprobs = _logprobs(asked, [delta["content"]]) if delta.get("content") else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return _event(_document(asked, "chat.completion.chunk", [choice]))

    for index in range(len(scripts)):
        yield chunk(index, {"role": "assistant", "content": ""})
    turns = itertools.zip_longest(*(each.deltas for each in scripts))
    for deltas in itertools.cycle(turns) if asked["model"] == ENDLESS else turns:
        yield from (chunk(index, delta) for index, delta in enumerate(deltas) if delta is not None)
    for index, each in enumerate(scripts):
        yield chunk(index, {}, each.finish_reason)
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _event(_document(asked, "chat.completion.chunk", []) | {"usage": usage})


def _response_document(asked: Document, status: str, text: str) -> Document:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "message-1", "type": "message", "role": "assistant", "status": status, "content": content}
    number = len(tokens(SENTENCE))
    usage = {"input_tokens": _PROMPT_TOKENS, "output_tokens": number, "total_tokens": _PROMPT_TOKENS + number}
    return {
        "id": "response-1",
        "object": "response",
        "created_at": _CREATED,
        "model": asked["model"],
        "status": status,
        "output": [message] if text else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if text else None,
    }


def _response_events(asked: Document) -> Iterator[bytes]:
    at: Document = {"item_id": "message-1", "output_index": 0, "content_index": 0}
    whole = _response_document(asked, "completed", SENTENCE)
    begun = whole["output"][0] | {"status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    events: list[tuple[str, Document]] = [
        ("response.created", {"response": _response_document(asked, "in_progress", "")}),
        ("response.output_item.added", {"output_index": 0, "item": begun}),
        ("response.content_part.added", at | {"part": part}),
        *(("response.output_text.delta", at | {"delta": word, "logprobs": []}) for word in tokens(SENTENCE)),
        ("response.output_text.done", at | {"text": SENTENCE, "logprobs": []}),
        ("response.content_part.done", at | {"part": part | {"text": SENTENCE}}),
        ("response.output_item.done", {"output_index": 0, "item": whole["output"][0]}),
        ("response.completed", {"response": whole}),
    ]
    for number, (name, data) in enumerate(events):
        yield f"event: {name}\n".encode() + _event({"type": name, "sequence_number": number} | data)


def _event(document: dict[str, Any]) -> bytes:
    # As engines write it: characters as they are, not escaped.
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"
