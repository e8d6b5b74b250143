"""``python -m e2e.upstream.replay``: an engine without a model, for thousands of streams at once.

It answers ``POST /v1/chat/completions`` with as many tokens as ``max_tokens`` says, at the times that the request's
``seed`` stands for: who asks with the same seed is answered alike. Each token tells when it was generated, see
``e2e.upstream.stamps``. Like a real engine it goes on generating when its reader is slow.
"""

import argparse
import asyncio
import heapq
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import httptools
import uvloop

from e2e.upstream.stamps import stamp
from e2e.upstream.timings import Recorded, Timings, TimingsError, recorded

MODEL: Final = "llama-3"
_DEFAULT_TOKENS: Final = 256
_LATE_S: Final = 0.001
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_END: Final = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Answer:
    """One stream on its way.

    Args:
        transport: takes the bytes.
        asked: the request.
        gaps: seconds before each token.
    """

    def __init__(self, transport: asyncio.Transport, asked: dict[str, Any], gaps: Iterator[float]) -> None:
        self.transport = transport
        self.left = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or _DEFAULT_TOKENS)
        self.tokens = self.left
        self.gaps = gaps
        self.streamed = bool(asked.get("stream"))
        self.usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        self._before, self._after = _around(asked)
        self._told: list[str] = []

    def tell(self, token: str) -> None:
        """Send one token, with the head before the first and the end after the last."""
        first = self.left == self.tokens
        self.left -= 1
        if not self.streamed:
            self._told.append(token)
            if not self.left:
                self.transport.write(self._whole())
            return
        said = _HEAD + _chunk(self._event('{"role":"assistant","content":""}', "null")) if first else b""
        said += _chunk(self._event(f'{{"content":"{token}"}}', "null"))
        if not self.left:
            said += _chunk(self._event("{}", '"length"')) + (_chunk(self._used()) if self.usage else b"") + _END
        self.transport.write(said)

    def _event(self, delta: str, reason: str) -> bytes:
        choice = f'[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}]'
        return f"data: {self._before}{choice}{self._after}\n\n".encode()

    def _used(self) -> bytes:
        usage = {"prompt_tokens": 8, "completion_tokens": self.tokens, "total_tokens": self.tokens + 8}
        return f'data: {self._before}[],"usage":{json.dumps(usage)}{self._after}\n\n'.encode()

    def _whole(self) -> bytes:
        message = {"role": "assistant", "content": "".join(self._told)}
        choice = json.dumps([{"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}])
        usage = {"prompt_tokens": 8, "completion_tokens": self.tokens, "total_tokens": self.tokens + 8}
        body = f'{self._before}{choice},"usage":{json.dumps(usage)}{self._after}'
        return _response(200, body.replace('"chat.completion.chunk"', '"chat.completion"').encode())


class Engine:
    """Generates the tokens of all streams, by one timer.

    Args:
        timings: when tokens are generated.
    """

    def __init__(self, timings: Timings | Recorded) -> None:
        self._timings = timings
        self._due: list[tuple[float, int, Answer]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, transport: asyncio.Transport, asked: dict[str, Any]) -> None:
        """Begin to answer a request."""
        number = next(self._numbers)
        answer = Answer(transport, asked, self._timings.gaps(int(asked.get("seed") or number)))
        heapq.heappush(self._due, (time.monotonic() + next(answer.gaps), number, answer))
        self._set()

    def _set(self) -> None:
        if self._timer:
            self._timer.cancel()
        wait = self._due[0][0] - time.monotonic() if self._due else None
        self._timer = None if wait is None else asyncio.get_running_loop().call_later(max(wait, _LATE_S), self._run)

    def _run(self) -> None:
        while self._due and self._due[0][0] <= (now := time.monotonic()):
            due, number, answer = self._due[0]
            if answer.transport.is_closing():
                heapq.heappop(self._due)
                continue
            answer.tell(stamp(now))
            if answer.left:
                heapq.heapreplace(self._due, (due + next(answer.gaps), number, answer))
            else:
                heapq.heappop(self._due)
        self._set()


class Connection(asyncio.Protocol):
    """One connection of a client; it asks one thing at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the client."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        """Note what is asked for."""
        self._url, self._body = url, bytearray()

    def on_body(self, part: bytes) -> None:
        """Note a part of the body."""
        self._body += part

    def on_message_complete(self) -> None:
        """Answer."""
        if self._parser.get_method() == b"POST" and self._url.endswith(b"/chat/completions"):
            self._engine.take(self._transport, json.loads(bytes(self._body)))
        elif self._url == b"/v1/models":
            models = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "tokenflow"}]
            self._transport.write(_response(200, json.dumps({"object": "list", "data": models}).encode()))
        else:
            self._transport.write(_response(404, b'{"error":{"message":"not served","type":"not_found"}}'))


def _around(asked: dict[str, Any]) -> tuple[str, str]:
    """Return what stands before and after the choices of a chunk, as engines write it."""
    before = (
        '{"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk",'
        f'"created":{int(time.time())},"model":{json.dumps(asked.get("model", MODEL))},"choices":'
    )
    return before, "}"


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


async def serve(port: int, timings: Timings | Recorded) -> None:
    """Answer requests on the loopback device, until cancelled."""
    engine = Engine(timings)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(engine), "127.0.0.1", port, backlog=4096, reuse_address=True
    )
    async with server:
        await server.serve_forever()


def main() -> int:
    """Run the command line."""
    usual = Timings()
    parser = argparse.ArgumentParser(prog="python -m e2e.upstream.replay", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--recording", type=Path, help="CSV with the seconds before each token, a row for each answer")
    parser.add_argument("--tokens-per-second", type=float, default=usual.tokens_per_second)
    parser.add_argument("--first-token-s", type=float, default=usual.first_token_s)
    parser.add_argument("--steady", action="store_true", help="leave chance out: every gap is the median")
    arguments = parser.parse_args()
    chance = {"first_token_sigma": 0.0, "gap_sigma": 0.0, "pause_percent": 0.0} if arguments.steady else {}
    timings: Timings | Recorded = Timings(
        tokens_per_second=arguments.tokens_per_second, first_token_s=arguments.first_token_s, **chance
    )
    try:
        if arguments.recording:
            timings = recorded(arguments.recording)
    except TimingsError as error:
        print(f"e2e.upstream.replay: {error}", file=sys.stderr)
        return 1
    uvloop.run(serve(arguments.port, timings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
