"""HTTP/1.1 messages of this listener: requests as far as it reads them, and responses as bytes (RFC 9112)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from tokenflow_hintsvc.problems import CONTENT_TYPE, ProblemError

LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: such as ``GET``.
        target: as it was sent.
        headers: those that this listener reads, by their names in small letters.
        last: whether the connection ends after the answer.
        chunked: whether the caller understands an answer in chunks.
    """

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    last: bool
    chunked: bool

    def header(self, name: bytes) -> str:
        """Return the value of a header; empty without it."""
        # As aiohttp decodes them.
        return self.headers.get(name, b"").decode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Response:
    """One response.

    Attributes:
        status: of HTTP.
        head: its status line and headers, without the empty line behind them.
        body: what follows.
        whole: all of it, as it is sent to most.
    """

    status: int
    head: bytes
    body: bytes
    whole: bytes

    def encode(self, *, bodiless: bool, last: bool) -> bytes:
        """Return it as it is sent.

        Args:
            bodiless: leave out the body, as the answer to HEAD does.
            last: tell that the connection ends with it.
        """
        end = b"Connection: close\r\n\r\n" if last else b"\r\n"
        return b"%b%b%b" % (self.head, end, b"" if bodiless else self.body)


def response(status: int, headers: Mapping[str, str], body: bytes = b"") -> Response:
    """Return a response with its length."""
    length = {} if status == HTTPStatus.NOT_MODIFIED else {"Content-Length": f"{len(body)}"}
    lines = head(status, {**headers, **length})
    return Response(status, lines, body, b"%b\r\n%b" % (lines, body))


def problem(error: ProblemError, *, trace_id: str) -> Response:
    """Return a problem as a response."""
    return response(error.status, {"Content-Type": CONTENT_TYPE, **error.headers()}, error.body(trace_id=trace_id))


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a status line and headers, without the empty line behind them."""
    lines = (f"{name}: {value}\r\n" for name, value in headers.items())
    date = _date(int(time.time()))
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {date}\r\n{''.join(lines)}".encode("latin-1")


# Streams of one audience are sent the same object, whose hash Python keeps: each is framed once.
@lru_cache(maxsize=8)
def chunk(data: bytes) -> bytes:
    """Return a part of a body in chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@lru_cache(maxsize=1)
def _date(unix_s: int) -> str:
    return formatdate(unix_s, usegmt=True)
