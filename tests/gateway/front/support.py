"""A listener to talk to, and readers who speak plainly."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

from tokenflow_api.serving.tls import Certificates
from tokenflow_gateway.front.exchange import Answer, Handler, Request
from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.listener import Front

PATIENCE_S = 30


@asynccontextmanager
async def served(
    handler: Handler, *, limits: Limits | None = None, tls: Certificates | None = None
) -> AsyncIterator[Front]:
    """Serve with a handler."""
    front = Front(handler, host="127.0.0.1", port=0, limits=limits, tls=tls)
    await front.start()
    try:
        yield front
    finally:
        await front.close()


async def echo(request: Request, answer: Answer) -> None:
    """Tell what was asked."""
    body = await request.read(most=1_000_000, within_s=PATIENCE_S)
    seen = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "peer": request.peer,
        "http": request.http,
        "body": body.decode("latin-1"),
    }
    answer.start(200, {"Content-Type": "application/json"})
    answer.write(json.dumps(seen).encode())
    answer.finish()


class Held:
    """Keeps each answer open for the test, which writes it; the handler ends when it is let go."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[tuple[Request, Answer]] = asyncio.Queue()
        self.left = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, request: Request, answer: Answer) -> None:
        answer.on_left(self.left.set)
        answer.start(200, {"Content-Type": "text/event-stream"})
        self.begun.put_nowait((request, answer))
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def next(self) -> Answer:
        """Return the next answer that has begun."""
        _, answer = await asyncio.wait_for(self.begun.get(), PATIENCE_S)
        return answer


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - whatever it is, no event tells
            await asyncio.sleep(0.001)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def error(self) -> Any:
        """What an error says of itself."""
        return json.loads(self.body)["error"]


class Reader1:
    """A client of HTTP/1.1 that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, front: Front, *, limit: int = 65_536) -> Self:
        """Open a connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", front.port, limit=limit))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def head(self) -> Reply:
        """Return the next head."""
        text = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        status, *lines = text.decode("latin-1").strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Reply(status=int(status.split()[1]), headers=headers)

    async def reply(self, *, bodiless: bool = False) -> Reply:
        """Return the next answer, whole."""
        head = await self.head()
        if bodiless:
            return head
        if "content-length" in head.headers:
            body = await asyncio.wait_for(self.reader.readexactly(int(head.headers["content-length"])), PATIENCE_S)
        elif head.headers.get("transfer-encoding") == "chunked":
            body = b""
            while part := await self.chunk():
                body += part
        else:
            body = await self.rest()
        return Reply(status=head.status, headers=head.headers, body=body)

    async def chunk(self) -> bytes:
        """Return the next chunk; empty is the last."""
        size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE_S), 16)
        return (await asyncio.wait_for(self.reader.readexactly(size + 2), PATIENCE_S))[:-2]

    async def rest(self) -> bytes:
        """Return everything until the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S)


@dataclass
class Stream:
    """What came on a stream of HTTP/2."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False


class Goodbye(NamedTuple):
    """A GOAWAY."""

    last_stream_id: int
    error_code: int


class Reader2:
    """A client of HTTP/2 with prior knowledge.

    Attributes:
        acknowledging: whether what was read opens the windows again.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.streams: dict[int, Stream] = {}
        self.events: list[Event] = []
        self.acknowledging = True
        self.closed = False
        self.goodbyes: list[Goodbye] = []
        self._left = (0, 0)
        self._bytes = b""

    @classmethod
    async def connect(cls, front: Front) -> Self:
        """Open a connection."""
        client = cls(*await asyncio.open_connection("127.0.0.1", front.port))
        client.h2.initiate_connection()
        client.flush()
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def flush(self) -> None:
        """Send what the library has to say."""
        data = self.h2.data_to_send()
        if not self.writer.transport.is_closing():
            self.writer.write(data)

    def ask(self, path: str = "/", *, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
        """Begin a request; with ``body`` it is sent as far as the windows allow at once."""
        number = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "gateway")]
        self.h2.send_headers(number, [*pseudo, *headers.items()], end_stream=body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=True)
        self.streams[number] = Stream()
        self.flush()
        return number

    def ask_slowly(self, size: int, *, sent: int | None = None) -> int:
        """Begin a request with a body of so many bytes, and send it as the windows allow; at most ``sent`` of it."""
        number = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "gateway")]
        self.h2.send_headers(number, pseudo)
        self.streams[number] = Stream()
        self._left = (number, size if sent is None else sent)
        self._send_on()
        self.flush()
        return number

    @property
    def blocked(self) -> bool:
        """Whether the windows take nothing more of the body."""
        number, left = self._left
        return left > 0 and self.h2.local_flow_control_window(number) == 0

    @property
    def reset_by_server(self) -> bool:
        """Whether the last request was reset."""
        return any(event.stream_id == self._left[0] for event in self.seen(StreamReset))

    def _without_goodbyes(self, data: bytes) -> bytes:
        """Take GOAWAY out of whole frames: the library knows no connection that is told to go and serves on."""
        self._bytes += data
        kept = b""
        while len(self._bytes) >= 9 and len(self._bytes) >= (size := 9 + int.from_bytes(self._bytes[:3], "big")):
            frame, self._bytes = self._bytes[:size], self._bytes[size:]
            if frame[3] == 7:
                self.goodbyes.append(Goodbye(*struct.unpack(">II", frame[9:17])))
            else:
                kept += frame
        return kept

    def _send_on(self) -> None:
        number, left = self._left
        if not left or self.reset_by_server:
            return
        while left and (room := min(self.h2.local_flow_control_window(number), 16_384, left)):
            self.h2.send_data(number, b"x" * room, end_stream=room == left)
            left -= room
        self._left = (number, left)

    async def turn(self) -> None:
        """Take in what comes next."""
        try:
            data = await asyncio.wait_for(self.reader.read(65_536), PATIENCE_S)
        except ConnectionResetError:
            # What this client acknowledges may reach a server that has closed meanwhile.
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(self._without_goodbyes(data)):
            self.events.append(event)
            if isinstance(event, ResponseReceived):
                self.streams[event.stream_id].headers = dict(event.headers)
            elif isinstance(event, DataReceived):
                self.streams[event.stream_id].body += event.data
                if self.acknowledging:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.streams[event.stream_id].ended = True
        self._send_on()
        self.flush()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Take in what comes until something holds."""
        while not holds() and not self.closed:
            await self.turn()
        assert holds()

    async def reply(self, number: int) -> Reply:
        """Return the answer on a stream, whole."""
        stream = self.streams[number]
        await self.until(lambda: stream.ended)
        return Reply(status=int(stream.headers[":status"]), headers=stream.headers, body=stream.body)

    def seen(self, kind: type[Event]) -> list[Any]:
        """Return the events of a kind that came so far."""
        return [event for event in self.events if isinstance(event, kind)]
