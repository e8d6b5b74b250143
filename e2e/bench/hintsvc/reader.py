"""Reads over connections of its own: a client library would try again by itself, and hide what was lost."""

import asyncio
from dataclasses import dataclass
from typing import Final

from e2e.bench.programs import LOOPBACK

_LENGTH: Final = b"content-length:"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes


class Reader:
    """Sends one request after the other over one connection, which is opened when it is needed."""

    def __init__(self, port: int, *, authorization: str = "") -> None:
        self._port = port
        self._credential = f"Authorization: {authorization}\r\n" if authorization else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> Answer:
        """Read ``path``.

        Raises:
            OSError: there was no whole answer; the next read opens a new connection.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(LOOPBACK, self._port)
            source, sink = self._streams
            sink.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n{self._credential}\r\n".encode())
            head = (await source.readuntil(b"\r\n\r\n")).lower()
            body = await source.readexactly(_length(head))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError) as error:
            self.close()
            if isinstance(error, asyncio.IncompleteReadError):
                raise ConnectionResetError("the connection ended before the answer did") from error
            raise
        if b"connection: close" in head:
            self.close()
        return Answer(int(head.split(b" ", 2)[1]), body)

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def get(port: int, path: str, *, authorization: str = "", timeout_s: float) -> Answer:
    """Read once, over a connection of its own.

    Raises:
        OSError: there was no whole answer, or not in time.
    """
    reader = Reader(port, authorization=authorization)
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.get(path)
    finally:
        reader.close()


def _length(head: bytes) -> int:
    start = head.find(_LENGTH)
    return int(head[start + len(_LENGTH) : head.index(b"\r\n", start)]) if start >= 0 else 0
