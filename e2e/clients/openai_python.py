"""The scenarios with the openai package for Python: ``python -m e2e.clients.openai_python URL``."""

import asyncio
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam

_CANCELS: Final = 10
"""Tries to cancel: the libraries now and then lose one that meets the end of a wait of their own."""
_TIMEOUT_S: Final = 20.0
_SHORT_S: Final = 1.0
_HELLO: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "hello"}]
_TOOLS: Final[list[ChatCompletionToolParam]] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "clock")
]

Scenario = Callable[[openai.OpenAI], Any]


def _create(client: openai.OpenAI, model: str, **options: Any) -> Any:
    return client.chat.completions.create(model=model, messages=_HELLO, **options)


def _gathered(stream: Iterable[ChatCompletionChunk]) -> dict[str, Any]:
    """Return what a stream brought, put together."""
    contents, reasons, logprobs = defaultdict[int, str](str), dict[int, str](), list[str]()
    calls: dict[int, dict[str, str]] = {}
    usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            contents[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
            logprobs += [each.token for each in (choice.logprobs and choice.logprobs.content) or []]
            for part in choice.delta.tool_calls or []:
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += part.id or ""
                if part.function:
                    call["name"] += part.function.name or ""
                    call["arguments"] += part.function.arguments or ""
    return {
        "contents": [contents[index] for index in sorted(contents)],
        "finish_reasons": [reasons[index] for index in sorted(reasons)],
        "tool_calls": [calls[index] for index in sorted(calls)],
        "logprobs": logprobs,
        "usage": usage and usage.model_dump(exclude_none=True),
    }


def _models(client: openai.OpenAI) -> Any:
    return sorted(model.id for model in client.models.list().data)


def _answer(client: openai.OpenAI) -> Any:
    whole = _create(client, "chat")
    choice = whole.choices[0]
    return {"content": choice.message.content, "finish_reason": choice.finish_reason, "usage": whole.usage.to_dict()}


def _stream(client: openai.OpenAI) -> Any:
    return _gathered(_create(client, "chat", stream=True))


def _stream_usage(client: openai.OpenAI) -> Any:
    return _gathered(_create(client, "chat", stream=True, stream_options={"include_usage": True}))


def _several_choices(client: openai.OpenAI) -> Any:
    whole = [choice.message.content for choice in _create(client, "chat", n=3).choices]
    return {"whole": whole, "stream": _gathered(_create(client, "chat", n=3, stream=True))}


def _tools(client: openai.OpenAI) -> Any:
    calls = _create(client, "tools", tools=_TOOLS).choices[0].message.tool_calls
    whole = [[call.id, call.function.name, call.function.arguments] for call in calls]
    return {"whole": whole, "stream": _gathered(_create(client, "tools", tools=_TOOLS, stream=True))}


def _tools_by_helper(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(model="tools", messages=_HELLO, tools=_TOOLS) as events:
        calls = events.get_final_completion().choices[0].message.tool_calls or []
    return [[call.id, call.function.name, call.function.arguments] for call in calls]


def _json_mode(client: openai.OpenAI) -> Any:
    asked: dict[str, Any] = {"response_format": {"type": "json_object"}}
    gathered = _gathered(_create(client, "json", stream=True, **asked))
    return {"whole": json.loads(_create(client, "json", **asked).choices[0].message.content), "stream": gathered}


def _logprobs(client: openai.OpenAI) -> Any:
    return _gathered(_create(client, "chat", stream=True, logprobs=True))["logprobs"]


def _completion(client: openai.OpenAI) -> Any:
    whole = client.completions.create(model="chat", prompt="hello").choices[0].text
    parts = client.completions.create(model="chat", prompt="hello", stream=True)
    return {"whole": whole, "stream": "".join(part.choices[0].text for part in parts)}


def _response(client: openai.OpenAI) -> Any:
    whole = client.responses.create(model="chat", input="hello").output_text
    events = list(client.responses.create(model="chat", input="hello", stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    return {
        "whole": whole,
        "stream": text,
        "events": [kind for kind, _ in itertools.groupby(event.type for event in events)],
    }


def _embeddings(client: openai.OpenAI) -> Any:
    return [item.embedding for item in client.embeddings.create(model="chat", input=["a", "b"]).data]


def _error_400(client: openai.OpenAI) -> Any:
    return _failure(lambda: _create(client, "refused-400", stream=True))


def _error_429(client: openai.OpenAI) -> Any:
    return _failure(lambda: _create(client, "refused-429", stream=True))


def _error_500(client: openai.OpenAI) -> Any:
    return _failure(lambda: _create(client, "failed-500"))


def _error_unknown_model(client: openai.OpenAI) -> Any:
    told = _failure(lambda: _create(client, "no-such-model"))
    # Who knows the model's absence puts it into their own words.
    return {key: told[key] for key in ("class", "status", "code")}


def _timeout(client: openai.OpenAI) -> Any:
    return _failure(lambda: _create(client.with_options(timeout=_SHORT_S), "slow", stream=True))


def _broken_stream(client: openai.OpenAI) -> Any:
    """The words of the break are the gateway's, and better: only that there is one is compared."""
    content, failed = "", False
    try:
        for chunk in _create(client, "breaks", stream=True):
            content += chunk.choices[0].delta.content or ""
    except Exception:  # noqa: BLE001 - clients let the exceptions of their transports through
        failed = True
    return {"content": content, "failed": failed}


def _cancel(client: openai.OpenAI) -> Any:
    chunks = _create(client, "endless", stream=True)
    begun = [next(chunks).choices[0].delta.content for _ in range(3)]
    chunks.close()
    return "".join(part or "" for part in begun) != ""


def _cancel_async(client: openai.OpenAI) -> Any:
    begun = asyncio.Event()

    async def read() -> None:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key=client.api_key, max_retries=0) as other:
            async for _ in await other.chat.completions.create(model="endless", messages=_HELLO, stream=True):
                begun.set()

    async def leave() -> str:
        reading = asyncio.create_task(read())
        await begun.wait()
        for _ in range(_CANCELS):
            reading.cancel()
            if (await asyncio.wait([reading], timeout=1.0))[0]:
                break
        return "cancelled" if reading.cancelled() else "ended"

    return asyncio.run(leave())


def _failure(call: Callable[[], object]) -> dict[str, Any]:
    try:
        call()
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "type": error.type,
            "message": error.body["message"] if isinstance(error.body, dict) else None,
            "retry_after": error.response.headers.get("retry-after"),
        }
    except openai.APIError as error:
        return {"class": type(error).__name__}
    return {"class": "none"}


_SCENARIOS: Final[tuple[Scenario, ...]] = (
    _models,
    _answer,
    _stream,
    _stream_usage,
    _several_choices,
    _tools,
    _tools_by_helper,
    _json_mode,
    _logprobs,
    _completion,
    _response,
    _embeddings,
    _error_400,
    _error_429,
    _error_500,
    _error_unknown_model,
    _timeout,
    _broken_stream,
    _cancel,
    _cancel_async,
)


def main() -> int:
    """Play all scenarios against the base URL of the command line, with the API key that follows it."""
    url, key = sys.argv[1:]
    seen: dict[str, Any] = {}
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=_TIMEOUT_S) as client:
        for play in _SCENARIOS:
            name = play.__name__.removeprefix("_")
            try:
                seen[name] = play(client)
            except Exception as error:  # noqa: BLE001 - whatever a client raises is what it saw
                seen[name] = {"raised": f"{type(error).__name__}: {error}"}
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
