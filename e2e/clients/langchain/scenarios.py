"""The scenarios with LangChain: ``python scenarios.py URL KEY``, by the interpreter of its own virtual environment."""

import asyncio
import itertools
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import openai
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

_CANCELS: Final = 10
"""Tries to cancel: the libraries now and then lose one that meets the end of a wait of their own."""
_TIMEOUT_S: Final = 20.0
_SHORT_S: Final = 1.0
_RUNNER: Final = asyncio.Runner()
"""LangChain keeps the connections of a model for all of its kind: they must stay with one event loop."""
_TOOLS: Final = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "clock")
]

Chat = Callable[..., ChatOpenAI]


def _told(message: AIMessage) -> dict[str, Any]:
    calls = [[call["id"], call["name"], call["args"]] for call in message.tool_calls]
    usage = message.usage_metadata
    return {
        "content": message.content,
        "finish_reason": message.response_metadata.get("finish_reason"),
        "tool_calls": calls,
        "tokens": usage and [usage["input_tokens"], usage["output_tokens"]],
    }


def _streamed(model: Any) -> dict[str, Any]:
    chunks = list(model.stream("hello"))
    return _told(sum(chunks[1:], chunks[0]))


def _answer(chat: Chat) -> Any:
    return _told(chat(model="chat").invoke("hello"))


def _stream(chat: Chat) -> Any:
    return _streamed(chat(model="chat", stream_usage=False))


def _stream_usage(chat: Chat) -> Any:
    return _streamed(chat(model="chat", stream_usage=True))


def _stream_async(chat: Chat) -> Any:
    async def read() -> str:
        return "".join([chunk.content async for chunk in chat(model="chat").astream("hello")])

    return _RUNNER.run(read())


def _several_choices(chat: Chat) -> Any:
    return [each.text for each in chat(model="chat", n=3).generate([[HumanMessage("hello")]]).generations[0]]


def _many_at_once(chat: Chat) -> Any:
    return [message.content for message in chat(model="chat").batch(["hello"] * 8)]


def _tools(chat: Chat) -> Any:
    bound = chat(model="tools").bind_tools(_TOOLS)
    return {"whole": _told(bound.invoke("hello")), "stream": _streamed(bound)}


def _json_mode(chat: Chat) -> Any:
    model = chat(model="json").with_structured_output(None, method="json_mode")
    return {"whole": model.invoke("hello"), "stream": list(model.stream("hello"))[-1]}


def _logprobs(chat: Chat) -> Any:
    chunks = list(chat(model="chat", logprobs=True).stream("hello"))
    found = ((chunk.response_metadata.get("logprobs") or {}).get("content") or [] for chunk in chunks)
    return [each["token"] for each in itertools.chain.from_iterable(found)]


def _completion(chat: Chat) -> Any:
    asked = chat(model="chat")
    model = OpenAI(model="chat", base_url=asked.openai_api_base, api_key=asked.openai_api_key, max_retries=0)
    return {"whole": model.invoke("hello"), "stream": "".join(model.stream("hello"))}


def _response(chat: Chat) -> Any:
    model = chat(model="chat", use_responses_api=True)
    return {"whole": model.invoke("hello").text, "stream": "".join(chunk.text for chunk in model.stream("hello"))}


def _embeddings(chat: Chat) -> Any:
    asked = chat(model="chat")
    # It would count tokens by tables from the network.
    model = OpenAIEmbeddings(
        model="chat", base_url=asked.openai_api_base, api_key=asked.openai_api_key, check_embedding_ctx_length=False
    )
    return model.embed_documents(["a", "b"])


def _error(chat: Chat, *, model: str) -> Any:
    try:
        list(chat(model=model).stream("hello"))
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "code": error.code}
    return "none"


def _timeout(chat: Chat) -> Any:
    try:
        chat(model="slow", timeout=_SHORT_S).invoke("hello")
    except openai.APIError as error:
        return type(error).__name__
    return "none"


def _broken_stream(chat: Chat) -> Any:
    """The words of the break are the gateway's, and better: only that there is one is compared."""
    content, failed = "", False
    try:
        for chunk in chat(model="breaks").stream("hello"):
            content += chunk.content
    except Exception:  # noqa: BLE001 - clients let the exceptions of their transports through
        failed = True
    return {"content": content, "failed": failed}


def _cancel(chat: Chat) -> Any:
    chunks = chat(model="endless").stream("hello")
    begun = [next(chunks).content for _ in range(3)]
    chunks.close()
    return "".join(begun) != ""


def _cancel_async(chat: Chat) -> Any:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in chat(model="endless").astream("hello"):
            begun.set()

    async def leave() -> str:
        reading = asyncio.create_task(read())
        await begun.wait()
        for _ in range(_CANCELS):
            reading.cancel()
            if (await asyncio.wait([reading], timeout=1.0))[0]:
                break
        return "cancelled" if reading.cancelled() else "ended"

    return _RUNNER.run(leave())


_SCENARIOS: Final[dict[str, Callable[[Chat], Any]]] = {
    "answer": _answer,
    "stream": _stream,
    "stream_usage": _stream_usage,
    "stream_async": _stream_async,
    "several_choices": _several_choices,
    "many_at_once": _many_at_once,
    "tools": _tools,
    "json_mode": _json_mode,
    "logprobs": _logprobs,
    "completion": _completion,
    "response": _response,
    "embeddings": _embeddings,
    "error_400": partial(_error, model="refused-400"),
    "error_429": partial(_error, model="refused-429"),
    "error_500": partial(_error, model="failed-500"),
    "error_unknown_model": partial(_error, model="no-such-model"),
    "timeout": _timeout,
    "broken_stream": _broken_stream,
    "cancel": _cancel,
    "cancel_async": _cancel_async,
}


def main() -> int:
    """Play all scenarios against the base URL of the command line, with the API key that follows it."""
    url, key = sys.argv[1:]
    settings = {"base_url": f"{url}/v1", "api_key": key, "max_retries": 0}
    seen: dict[str, Any] = {}
    with _RUNNER:
        for name, play in _SCENARIOS.items():
            try:
                seen[name] = play(lambda **options: ChatOpenAI(**({"timeout": _TIMEOUT_S} | settings | options)))
            except Exception as error:  # noqa: BLE001 - whatever a client raises is what it saw
                seen[name] = {"raised": f"{type(error).__name__}: {error}"}
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
