"""Requests of HTTP/1.1 out of bytes (RFC 9112), within bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from tokenflow_gateway.errors import GatewayError, HeadersTooLargeError, MalformedRequestError
from tokenflow_gateway.front.body import Body
from tokenflow_gateway.front.head import add_header
from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.target import split

_VERSIONS: Final = ("1.1", "1.0")
_PIECE: Final = 16_384
"""Bytes that the parser is given at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A request whose head has arrived, and whose body may still arrive.

    Attributes:
        method: such as ``POST``.
        path: of the target, without the query.
        query: of the target.
        headers: by lower-case name; values of a repeated header are joined by commas.
        body: of the request.
        old: whether it is of HTTP/1.0, which knows no chunks.
        last: whether its sender wants the connection to end with the answer.
        expects: whether its sender waits to be told to go on before the body.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Body
    old: bool
    last: bool
    expects: bool


def refused(*, wanted: Callable[[], None]) -> Message:
    """Return what stands for a request that was none."""
    body = Body(wanted=wanted)
    return Message(method="", path="", query="", headers={}, body=body, old=False, last=True, expects=False)


class Intake:
    """Turns what arrives on one connection into messages.

    Another protocol that a request asks for (``Upgrade``) is not taken up: it is answered in this one, and is the
    last of its connection. Some clients of HTTP/2 ask with each first request.

    Args:
        limits: bounds of a head.
        arrived: called with each message as soon as its head is there.
        wanted: handed to each body.

    Attributes:
        partial: whether a head has begun and is not whole.
        body: of the last message, while it arrives.
    """

    def __init__(self, limits: Limits, *, arrived: Callable[[Message], None], wanted: Callable[[], None]) -> None:
        self._limits = limits
        self._arrived = arrived
        self._wanted = wanted
        self._parser = HttpRequestParser(self)
        self._heard = False
        self._silent = 0
        self._upgrading = False
        self.partial = False
        self.body: Body | None = None
        self._begin()

    def feed(self, data: bytes) -> None:
        """Take in what arrived.

        Raises:
            MalformedRequestError: it is no HTTP/1.1.
            HeadersTooLargeError: a head is beyond its bounds.
        """
        for start in range(0, len(data), _PIECE):
            self._feed_piece(data[start : start + _PIECE])

    def on_message_begin(self) -> None:
        """Take in the first byte of a request."""
        self._heard = True
        if not self._upgrading:
            self.partial = True
            self._begin()

    def on_url(self, part: bytes) -> None:
        """Take in the target, or a part of it."""
        self._heard = True
        if not self._upgrading:
            self._target += part
            self._take(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header; behind a body it is a trailer, which nobody reads."""
        self._heard = True
        if self._upgrading:
            return
        self._count += 1
        self._take(len(name) + len(value))
        if self.partial:
            add_header(self._headers, name, value)

    def on_headers_complete(self) -> None:
        """Hand on the message."""
        if self._upgrading:
            return
        self.partial = False
        version = self._parser.get_http_version()
        path, query = split(self._target.decode("latin-1"))
        headers = self._headers
        if version not in _VERSIONS:
            raise MalformedRequestError(f"HTTP/{version} is not spoken here: use HTTP/1.1 or HTTP/2")
        if version == "1.1" and ("host" not in headers or "," in headers["host"]):
            raise MalformedRequestError("a request of HTTP/1.1 has one Host header")
        if version == "1.0" and "transfer-encoding" in headers:
            raise MalformedRequestError("HTTP/1.0 knows no Transfer-Encoding")
        length = headers.get("content-length")
        self.body = Body(wanted=self._wanted, announced=int(length) if length else None)
        self._arrived(
            Message(
                method=self._parser.get_method().decode("ascii"),
                path=path,
                query=query,
                headers=headers,
                body=self.body,
                old=version == "1.0",
                last=not self._parser.should_keep_alive() or self._parser.should_upgrade(),
                expects=headers.get("expect", "").lower() == "100-continue",
            )
        )

    def on_body(self, part: bytes) -> None:
        """Take in a part of the body."""
        self._heard = True
        if self.body is not None:
            self.body.feed(part)

    def on_chunk_header(self) -> None:
        """Take in that a chunk follows."""
        self._heard = True

    def on_message_complete(self) -> None:
        """Take in the end of the request."""
        # Of a request that asks for another protocol the parser leaves the body to that.
        if self.body is not None and not (self._parser.should_upgrade() and self._framing()):
            self.body.end()
            self.body = None

    def _feed_piece(self, data: bytes) -> None:
        self._heard = False
        try:
            self._parse(data)
        except HttpParserCallbackError as error:
            if isinstance(error.__context__, GatewayError):
                raise error.__context__ from None
            raise
        except HttpParserError as error:
            raise MalformedRequestError(f"this is no HTTP/1.1 request: {error}") from None
        # The parser keeps what it has of a header to itself until that is whole.
        self._silent = 0 if self._heard else self._silent + len(data)
        if self._silent > self._limits.head_bytes:
            raise self._too_large()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._parser = HttpRequestParser(self)
            if self.body is not None:
                self._upgrading = True
                self._parser.feed_data(f"POST / HTTP/1.1\r\n{self._framing()}\r\n\r\n".encode("latin-1"))
                self._upgrading = False
                self._parse(data[upgrade.args[0] :])

    def _framing(self) -> str:
        """Return the header that tells where the body ends; empty where there is none."""
        names = (name for name in ("transfer-encoding", "content-length") if name in self._headers)
        return next((f"{name}: {self._headers[name]}" for name in names), "")

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._count = 0
        self._bytes = 0

    def _take(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.head_bytes or self._count > self._limits.headers:
            raise self._too_large()

    def _too_large(self) -> HeadersTooLargeError:
        return HeadersTooLargeError(
            f"a request's headers may be {self._limits.headers}, and {self._limits.head_bytes} bytes with its target"
        )
