"""Reads streams as clients would, over connections of its own, and notes when each token arrived.

Run as ``python -m e2e.bench.pacing.reader`` with a ``Plan`` as JSON on standard input; it prints what each stream was
like as JSON, a line for each. It is a process of its own, so that it can be in another network namespace, and lean, so
that thousands of streams do not wait for it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import httptools
import uvloop
from pydantic import TypeAdapter

from e2e.bench.pacing.workload import Ask
from e2e.upstream.stamps import stamps

_CONNECT_S: Final = 10.0
_DOWNLOADS: Final = 3
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a reader is to do.

    Attributes:
        servers: host and port of those that are asked in turn.
        asks: the requests.
        until_s: seconds after which streams are no longer watched.
        source: address that connections come from; empty is any.
        model: that is asked for.
        stamped: whether tokens tell when they were generated.
        bulk: host and port of a server that sends without end: downloads beside the streams; none by default.
    """

    servers: tuple[tuple[str, int], ...]
    asks: tuple[Ask, ...]
    until_s: float
    source: str = ""
    model: str = "llama-3"
    stamped: bool = True
    bulk: tuple[str, int] | None = None


@dataclass(kw_only=True, slots=True)
class Stream:
    """What one request met; times are seconds since the run began.

    Attributes:
        ask: the request.
        server: the one that was asked.
        asked_s: when it was really sent.
        status: of the answer; 0 where there was none.
        arrivals: time, tokens and bytes of each event.
        ages_s: how old each token was when it arrived.
        done: whether the end was marked.
        ended_s: when nothing more could come; ``None`` while it goes on.
        told: the error that the server told of, or how the connection went.
        retry_after: that the server named; empty where it did not.
    """

    ask: Ask
    server: int
    asked_s: float = 0.0
    status: int = 0
    arrivals: list[tuple[float, int, int]] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)
    done: bool = False
    ended_s: float | None = None
    told: str = ""
    retry_after: str = ""


STREAMS: Final = TypeAdapter(Stream)
PLAN: Final = TypeAdapter(Plan)


class Reading(asyncio.Protocol):
    """One connection, for one stream.

    Args:
        stream: takes the notes.
        request: bytes to send.
        began: monotonic time at which the run began.
        stamped: whether tokens tell when they were generated.
    """

    def __init__(self, stream: Stream, request: bytes, *, began: float, stamped: bool) -> None:
        self._stream = stream
        self._request = request
        self._began = began
        self._stamped = stamped
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._characters = 0
        self._now = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note what came."""
        self._now = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"no HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end."""
        self._end(type(error).__name__ if error else "closed")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note when to come again."""
        if name.lower() == b"retry-after":
            self._stream.retry_after = value.decode()

    def on_headers_complete(self) -> None:
        """Note the status."""
        self._stream.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        """Note the events of a part of the body."""
        *events, self._body = (self._body + part).split(b"\n\n")
        for event in events:
            self._take(event)

    def on_message_complete(self) -> None:
        """Note that the answer was whole."""
        if self._body:
            self._stream.told = self._body[:300].decode(errors="replace")
        self._end("whole")

    def _take(self, event: bytes) -> None:
        if not event.startswith(b"data: "):
            return
        if event == b"data: [DONE]":
            self._stream.done = True
            return
        document = json.loads(event[6:])
        if "error" in document:
            self._stream.told = json.dumps(document["error"])[:300]
            return
        content = "".join(choice["delta"].get("content") or "" for choice in document["choices"])
        tokens = self._tokens(content)
        self._stream.arrivals.append((self._now - self._began, tokens, len(event) + 2))

    def _tokens(self, content: str) -> int:
        """Return how many tokens ``content`` has; what is not stamped is counted by its length."""
        if self._stamped:
            made = stamps(content, at=self._now)
            self._stream.ages_s += [self._now - at for at in made]
            return len(made)
        before = self._characters // _CHARACTERS_PER_TOKEN
        self._characters += len(content)
        return self._characters // _CHARACTERS_PER_TOKEN - before

    def _end(self, how: str) -> None:
        if self.ended.done():
            return
        self._stream.ended_s = time.monotonic() - self._began
        self._stream.told = self._stream.told or how
        self.ended.set_result(None)
        self._transport.close()

    def leave(self) -> None:
        """Close the connection, without a note."""
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport.abort()


async def read(plan: Plan) -> list[Stream]:
    """Do what a plan says, and return what each request met, in its order.

    Requests go out when they are due, whatever became of earlier ones: an open loop.
    """
    began = time.monotonic()
    downloads = [asyncio.create_task(_download(plan)) for _ in range(_DOWNLOADS)] if plan.bulk else []
    streams = [Stream(ask=ask, server=number % len(plan.servers)) for number, ask in enumerate(plan.asks)]
    tasks = [asyncio.create_task(_read(stream, plan, began=began)) for stream in streams]
    await asyncio.gather(*tasks)
    for download in downloads:
        download.cancel()
    await asyncio.gather(*downloads, return_exceptions=True)
    return streams


async def _read(stream: Stream, plan: Plan, *, began: float) -> None:
    await asyncio.sleep(began + stream.ask.at_s - time.monotonic())
    host, port = plan.servers[stream.server]
    request = _request(stream.ask, host=host, model=plan.model)
    source = (plan.source, 0) if plan.source else None
    stream.asked_s = time.monotonic() - began
    end = began + plan.until_s
    try:
        async with asyncio.timeout(min(_CONNECT_S, max(0.0, end - time.monotonic()))):
            _, reading = await asyncio.get_running_loop().create_connection(
                lambda: Reading(stream, request, began=began, stamped=plan.stamped), host, port, local_addr=source
            )
    except OSError as error:
        stream.ended_s = time.monotonic() - began
        stream.told = f"no connection: {error!r}"
        return
    await asyncio.wait([reading.ended], timeout=max(0.0, end - time.monotonic()))
    reading.leave()


async def _download(plan: Plan) -> None:
    """Read what comes without end."""
    if plan.bulk is None:
        return
    source = (plan.source, 0) if plan.source else None
    arriving, leaving = await asyncio.open_connection(*plan.bulk, local_addr=source)
    try:
        while await arriving.read(1 << 16):
            pass
    finally:
        leaving.close()


def _request(ask: Ask, *, host: str, model: str) -> bytes:
    body = json.dumps(
        {
            "model": model,
            "stream": True,
            "max_tokens": ask.tokens,
            "seed": ask.seed,
            "messages": [{"role": "user", "content": "Tell a long story."}],
        }
    ).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"x-tenant-id: {ask.tenant}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def write(streams: Sequence[Stream]) -> None:
    """Print the notes."""
    for stream in streams:
        sys.stdout.buffer.write(STREAMS.dump_json(stream) + b"\n")


def main() -> int:
    """Read a plan, do it, and print what was met."""
    plan = PLAN.validate_json(sys.stdin.buffer.read())
    write(uvloop.run(read(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
