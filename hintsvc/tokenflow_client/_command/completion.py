"""Streams one chat completion, and says when each piece of it arrived."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from pydantic import ValidationError

from tokenflow_api import tcp_info
from tokenflow_client._boundaries import EventSplitter
from tokenflow_client._command.chunk import Chunk, Fault
from tokenflow_client._command.endpoint import Endpoint
from tokenflow_client._command.errors import CompletionError

_DONE: Final = b"[DONE]"
_WORDS: Final = 300
"""Characters of a refusal that are shown where it is not in OpenAI's form."""

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One event of a stream.

    Attributes:
        at_s: when it arrived, by the reader's clock.
        text: what the reader reads of it.
        weight: characters that the model generated for it, those of tool calls and of reasoning among them.
        size: its bytes of body.
        tokens: tokens of the whole completion, in the event that tells the usage.
    """

    at_s: float
    text: str
    weight: int
    size: int
    tokens: int | None = None


class Answer:
    """A completion that streams.

    Attributes:
        headers: of the response.
    """

    def __init__(self, response: httpx.Response, *, clock: Clock) -> None:
        self._response = response
        self._clock = clock
        self.headers: Mapping[str, str] = response.headers

    def rtt_us(self) -> int | None:
        """Return the round-trip time of the connection as its kernel has it; ``None`` when it is closed."""
        stream = self._response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream else None
        known = tcp_info.read(socket) if socket else None
        return known.rtt_us if known else None

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the events as they arrive.

        Raises:
            CompletionError: the stream broke off.
        """
        splitter, ended = EventSplitter(), False
        try:
            async for data in self._response.aiter_bytes():
                at_s = self._clock()
                for event in splitter.feed(data):
                    told = _data(event)
                    ended = ended or told == _DONE
                    yield _piece(told, at_s=at_s, size=len(event))
        except httpx.HTTPError as error:
            raise _lost(error) from error
        if not ended:
            raise CompletionError("the stream ended without [DONE]: the rest of the answer is lost", code="broken off")


@asynccontextmanager
async def complete(
    client: httpx.AsyncClient, endpoint: Endpoint, body: Mapping[str, Any], *, clock: Clock = time.monotonic
) -> AsyncIterator[Answer]:
    """Ask for a completion, as a stream with its usage.

    Raises:
        CompletionError: it was refused, or the endpoint is out of reach.
    """
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    request = client.build_request("POST", endpoint.completions, json=asked, headers=endpoint.headers())
    try:
        response = await client.send(request, stream=True)
    except httpx.HTTPError as error:
        raise _lost(error) from error
    try:
        if response.is_error:
            raise await _refusal(response)
        yield Answer(response, clock=clock)
    finally:
        await response.aclose()


def _data(event: bytes) -> bytes:
    """Return the data of an event, split by bytes: what else Unicode takes for line ends may stand within it."""
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line.removeprefix(b"data:").removeprefix(b" ") for line in lines)


def _piece(told: bytes, *, at_s: float, size: int) -> Piece:
    if not told or told == _DONE:
        return Piece(at_s=at_s, text="", weight=0, size=size)
    try:
        chunk = Chunk.model_validate_json(told)
    except ValidationError as error:
        raise CompletionError(f"an event is no chunk of a completion: {error}", code="bad chunk") from error
    if chunk.error:
        raise CompletionError(chunk.error.message, code=f"in stream {chunk.error.word}".strip())
    return Piece(
        at_s=at_s,
        text="".join(choice.delta.content or "" for choice in chunk.choices),
        weight=sum(choice.delta.weight for choice in chunk.choices),
        size=size,
        tokens=chunk.usage.completion_tokens if chunk.usage else None,
    )


async def _refusal(response: httpx.Response) -> CompletionError:
    status = response.status_code
    try:
        content = await response.aread()
    except httpx.HTTPError as error:
        return _lost(error)
    try:
        told = Fault.model_validate(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        words = content.decode(errors="replace")[:_WORDS].strip()
        return CompletionError(f"{response.url} answered {status}: {words}", code=str(status))
    return CompletionError(told.message, code=f"{status} {told.word}".strip())


def _lost(error: httpx.HTTPError) -> CompletionError:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            place = error.request.url.copy_with(path="/", query=None)
            message = f"{place} cannot be reached ({error}): check the URL, and that something serves there"
            return CompletionError(message, code="unreachable")
        case httpx.TimeoutException():
            return CompletionError("nothing came in time: raise --timeout, or look at the endpoint", code="timeout")
        case _:
            return CompletionError(f"the connection broke: {type(error).__name__}: {error}", code="broken off")
