"""What is read of a stream, and what is said of one that is refused or breaks off."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tokenflow_client._command.completion import Piece, complete
from tokenflow_client._command.endpoint import Endpoint
from tokenflow_client._command.errors import CompletionError

ENDPOINT = Endpoint(url="http://engine", api_key="tf-key", tenant="gold")
DONE = b"data: [DONE]\n\n"


def chunk(delta: str) -> bytes:
    return f'data: {{"choices": [{{"index": 0, "delta": {delta}}}]}}\n\n'.encode()


async def read(*parts: bytes) -> list[Piece]:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return await ask(httpx.MockTransport(lambda _: httpx.Response(200, content=body())))


async def ask(transport: httpx.MockTransport) -> list[Piece]:
    async with (
        httpx.AsyncClient(transport=transport) as client,
        complete(client, ENDPOINT, {"model": "m"}, clock=lambda: 7.0) as answer,
    ):
        return [piece async for piece in answer.pieces()]


async def test_each_event_is_a_piece_wherever_the_network_cuts() -> None:
    body = b": keep-alive\n\n" + chunk('{"content": "caf\u00e9\u2028"}') + DONE
    pieces = await read(*(bytes([byte]) for byte in body))
    assert [(piece.text, piece.weight) for piece in pieces] == [("", 0), ("caf\u00e9\u2028", 5), ("", 0)]
    assert sum(piece.size for piece in pieces) == len(body)
    assert {piece.at_s for piece in pieces} == {7.0}


async def test_what_is_generated_has_weight_though_nobody_reads_it() -> None:
    called = '{"tool_calls": [{"index": 0, "function": {"name": "clock", "arguments": "{}"}}]}'
    pieces = await read(chunk('{"reasoning_content": "hm"}'), chunk(called), DONE)
    assert [(piece.text, piece.weight) for piece in pieces] == [("", 2), ("", 7), ("", 0)]


async def test_the_usage_is_asked_for_and_read() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.headers["Authorization"], request.headers["x-tenant-id"], request.content))
        return httpx.Response(200, content=b'data: {"choices": [], "usage": {"completion_tokens": 3}}\n\n' + DONE)

    assert [piece.tokens for piece in await ask(httpx.MockTransport(answer))] == [3, None]
    ((key, tenant, body),) = asked
    assert (key, tenant) == ("Bearer tf-key", "gold")
    assert b'"stream_options":{"include_usage":true}' in body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (chunk('{"content": "a"}'), "broken off"),
        (b'data: {"error": {"message": "gone", "code": "upstream_broke_off"}}\n\n', "in stream upstream_broke_off"),
        (b"data: {]\n\n", "bad chunk"),
    ],
)
async def test_a_stream_that_does_not_end_well_is_a_failure(body: bytes, code: str) -> None:
    with pytest.raises(CompletionError) as failed:
        await read(body)
    assert failed.value.code == code


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (429, '{"error": {"message": "slow down", "type": "rate_limit_exceeded"}}', "429 rate_limit_exceeded", "slow"),
        (502, "<html>bad gateway</html>", "502", "answered 502: <html>bad gateway"),
        (500, '{"error": "boom"}', "500", "boom"),
    ],
)
async def test_a_refusal_is_told_in_its_own_words(status: int, body: str, code: str, words: str) -> None:
    with pytest.raises(CompletionError, match=words) as failed:
        await ask(httpx.MockTransport(lambda _: httpx.Response(status, text=body)))
    assert failed.value.code == code


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (httpx.ConnectError("refused"), "unreachable", "http://engine/ cannot be reached"),
        (httpx.ReadTimeout("late"), "timeout", "raise --timeout"),
        (httpx.ReadError("reset"), "broken off", "the connection broke: ReadError: reset"),
    ],
)
async def test_what_happens_to_the_connection_is_told(error: httpx.HTTPError, code: str, words: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        error.request = request
        raise error

    with pytest.raises(CompletionError, match=words) as failed:
        await ask(httpx.MockTransport(fail))
    assert failed.value.code == code
