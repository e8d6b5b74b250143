"""Requests out of bytes, within bounds."""

from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from tokenflow_hintsvc.fast.messages import Request
from tokenflow_hintsvc.problems import ProblemError

MAX_TARGET_BYTES: Final = 2048
MAX_HEADERS: Final = 64
MAX_HEAD_BYTES: Final = 16_384

_READ: Final = frozenset((b"authorization", b"if-none-match", b"last-event-id", b"traceparent", b"x-forwarded-for"))


class Intake:
    """Turns what arrives on one connection into requests.

    A request that announces a body is the last of its connection: nothing here takes one, and what follows it is
    not read.

    Attributes:
        requests: those that the last ``feed`` completed.
        ended: whether nothing more is read.
        partial: bytes of a request that has not arrived whole, at least.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.ended = False
        self.partial = 0
        self._whole = b""
        self._begun = False
        self._parser = HttpRequestParser(self)
        self._begin()

    def feed(self, data: bytes) -> None:
        """Take in what arrived; complete requests stand in ``requests``, also when the rest is refused.

        Raises:
            ProblemError: it is no request, or beyond a bound.
        """
        # Clients ask the same again and again: bytes that were one whole request are the same request once more.
        if data == self._whole and not self._begun:
            return
        self.requests = []
        self._parse(data)
        self._whole = data if len(self.requests) == 1 and not self._begun else b""
        if not self._begun:
            self.partial = 0
        elif self.requests:
            self.partial = 1
        else:
            self.partial += len(data)
        if self.partial > MAX_HEAD_BYTES and not self.ended:
            self.ended = True
            raise _too_large()

    def on_message_begin(self) -> None:
        """Take in the first byte of a request."""
        self._begun = True

    def on_url(self, part: bytes) -> None:
        """Take in the target, or a part of it."""
        self._target += part
        if len(self._target) > MAX_TARGET_BYTES:
            raise ProblemError(
                414,
                code="TargetTooLong",
                detail=f"the target has more than {MAX_TARGET_BYTES} bytes",
                remedy="write /v1/hints/<tenant>?path=<upstream>/<destination class>",
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header; one that is there twice is a list, which no credential is."""
        self._count += 1
        self._bytes += len(name) + len(value)
        if self._count > MAX_HEADERS or self._bytes > MAX_HEAD_BYTES:
            raise _too_large()
        name = name.lower()
        if name in _READ:
            self._headers[name] = value if name not in self._headers else self._headers[name] + b"," + value
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            self._bodied = True

    def on_headers_complete(self) -> None:
        """Answer before the body, which is not waited for."""
        if self._bodied and not self.ended:
            self._complete(last=True)

    def on_message_complete(self) -> None:
        """Take in a request whose end has come."""
        self._begun = False
        if not self.ended:
            self._complete(last=not self._parser.should_keep_alive() or self._parser.should_upgrade())

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # The request is answered as if it had not asked for another protocol, and is the last.
            return
        except HttpParserCallbackError as error:
            self.ended = True
            if isinstance(error.__context__, ProblemError):
                raise error.__context__ from None
            raise
        except HttpParserError as error:
            if not self.ended:
                self.ended = True
                raise ProblemError(
                    400, code="BadRequest", detail=f"this is no HTTP request: {error}", remedy="speak HTTP/1.1"
                ) from error

    def _complete(self, *, last: bool) -> None:
        old = self._parser.get_http_version() == "1.0"
        self.ended = last or old
        self.requests.append(Request(self._parser.get_method(), self._target, self._headers, self.ended, not old))
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._count = 0
        self._bytes = 0
        self._bodied = False


def _too_large() -> ProblemError:
    return ProblemError(
        431,
        code="HeadersTooLarge",
        detail=f"the headers are more than {MAX_HEADERS}, or than {MAX_HEAD_BYTES} bytes",
        remedy="send fewer: only Authorization, If-None-Match and Last-Event-ID matter here",
    )
