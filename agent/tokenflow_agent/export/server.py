"""The agent's own port: an HTTP server that neither a slow nor a hostile client can occupy."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import h11

_log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32
"""Beyond it the one that is open the longest makes room, so that the kubelet is always heard."""
MAX_HEAD_BYTES: Final = 8192
HEAD_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 10.0
_READ_BYTES: Final = 4096
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    Attributes:
        query: the parameters of the address.
        accept: the content types that it takes.
    """

    query: Mapping[str, str]
    accept: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What it gets.

    Attributes:
        content_type: of the body.
        body: in pieces, made while they are sent.
        status: of HTTP.
    """

    content_type: str
    body: Iterable[bytes]
    status: int = 200


Page = Callable[[Request], Answer]


class Server:
    """Serves pages by GET and HEAD, one request per connection.

    Args:
        pages: what is served at which path.
    """

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._open: dict[asyncio.Task[None], None] = {}
        self._server: asyncio.Server | None = None

    async def start(self, *, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address is not free.
        """
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD_BYTES)

    async def close(self) -> None:
        """Stop listening, and leave those who are still being served."""
        if self._server is not None:
            self._server.close()
        serving = list(self._open)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            # At once, so that of many who come in one turn of the loop each drives out another.
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._serve(reader, writer))
        self._open[task] = None

        def end(_: asyncio.Task[None]) -> None:
            self._open.pop(task, None)
            # What was not taken by now is not kept for who does not read. Not in the task: one that is driven out
            # before its first turn never runs.
            writer.transport.abort()

        task.add_done_callback(end)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        # A full buffer of the kernel is felt at once, so that no answer piles up in this process.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                request = await _head(connection, reader)
            if request is not None:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await _send(connection, writer, self._answer(request), headless=request.method == b"HEAD")
        except h11.RemoteProtocolError as error:
            await _complain(connection, writer, error)
        except (TimeoutError, OSError) as error:
            _log.debug("a client was left", extra={"reason": f"{type(error).__name__}: {error}"})
        except Exception:  # noqa: BLE001 - a page that fails must not end the port
            _log.exception("a page failed")

    def _answer(self, request: h11.Request) -> Answer:
        path, _, query = request.target.decode("ascii").partition("?")
        if request.method not in (b"GET", b"HEAD"):
            return _words(405, "only GET and HEAD are served here")
        page = self._pages.get(path)
        if page is None:
            return _words(404, f"there is nothing here but {', '.join(sorted(self._pages))}")
        accept = b",".join(value for name, value in request.headers if name == b"accept")
        return page(Request(query=dict(parse_qsl(query)), accept=accept.decode("latin-1")))


async def _head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Return the head of the request; ``None`` when the client leaves before it is whole."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await reader.read(_READ_BYTES))


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, *, headless: bool) -> None:
    headers = [("Content-Type", answer.content_type), ("Connection", "close")]
    if answer.status == 405:  # noqa: PLR2004 - HTTP's
        headers.append(("Allow", "GET, HEAD"))
    head = h11.Response(status_code=answer.status, headers=headers)
    writer.write(connection.send(head) or b"")
    if not headless:
        for piece in answer.body:
            writer.write(connection.send(h11.Data(data=piece)) or b"")
            await writer.drain()
            # A drain that need not wait gives no turn to the others, such as the kubelet.
            await asyncio.sleep(0)
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _complain(connection: h11.Connection, writer: asyncio.StreamWriter, error: h11.RemoteProtocolError) -> None:
    """Tell a client what is wrong with its request, where it can still be told."""
    _log.debug("a request is not HTTP", extra={"reason": str(error)})
    if connection.our_state is not h11.IDLE and connection.our_state is not h11.SEND_RESPONSE:
        return
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            await _send(connection, writer, _words(error.error_status_hint, str(error)), headless=False)
    except (TimeoutError, OSError) as gone:
        _log.debug("a client was left", extra={"reason": f"{type(gone).__name__}: {gone}"})


def _words(status: int, words: str) -> Answer:
    return Answer(_TEXT, [f"{words}\n".encode()], status)
