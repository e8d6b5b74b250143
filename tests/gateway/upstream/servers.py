"""Upstreams on real TCP that say what a test wants them to, byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.upstream.call import Outgoing

ASK = Outgoing(method="POST", target="/v1/chat/completions", headers={"Content-Type": "application/json"}, body=b"{}")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_KEYS = Path("/nonexistent")
PATIENCE_S = 10.0
"""What happens at once happens within this, however busy the machine is."""


Say = Callable[["Server", int, asyncio.StreamWriter], Awaitable[None]]
"""Answers the request of that number, over all connections of the server, from 0."""


@dataclass
class Server:
    """What a made-up upstream has seen, and what it does with each request on a connection."""

    say: Say
    url: str = ""
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await _request(reader)
                number = len(self.requests)
                self.requests.append(request)
                self.asked.set()
                watching = asyncio.create_task(self._watch(reader))
                await self.say(self, number, writer)
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                if writer.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        """See whether the gateway leaves while it is answered; it sends nothing meanwhile."""
        while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - a look at what a stream has seen
            await asyncio.sleep(0.001)
        self.left.set()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + (await reader.readexactly(length) if length else b"")


def says(*answers: bytes) -> Say:
    """Answer with these bytes, request by request, and with the last of them from then on."""

    async def say(_: Server, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(number, len(answers) - 1)])
        await writer.drain()

    return say


def says_and_closes(answer: bytes) -> Say:
    """Answer with these bytes and close."""

    async def say(_: Server, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return say


async def hangs(server: Server, _: int, __: asyncio.StreamWriter) -> None:
    """Say nothing until the gateway leaves."""
    await server.left.wait()


@asynccontextmanager
async def serving(
    say: Say,
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    server = Server(say)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def upstream(server: Server, *, name: str = "llama", **fields: object) -> Upstream:
    return Upstream.model_validate({"name": name, "url": server.url, **fields})


class Sink:
    """Keeps what it is fed."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.error: GatewayError | None = None
        self.ends = 0
        self.ended = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def feed(self, data: bytes) -> None:
        self.parts.append(data)

    def end(self, error: GatewayError | None) -> None:
        self.ends += 1
        self.error = error
        self.ended.set()
