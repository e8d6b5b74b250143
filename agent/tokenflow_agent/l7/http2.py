"""Follows the requests of HTTP/2 connections (RFC 9113), and gRPC's status in them.

The kernel leaves out the payload of data. Whatever is lost, or cannot be decoded, leaves the memory of one
direction's header compression unknown for good: from then on its requests count as ``~other``.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tokenflow_agent.l7.frames import (
    CONTINUATION,
    END_STREAM,
    HEADERS,
    PUSH_PROMISE,
    RST_STREAM,
    Frame,
    Side,
)
from tokenflow_agent.l7.headers import CONTENT_TYPE, GRPC_STATUS, TRACEPARENT
from tokenflow_agent.l7.http1 import ABORTED

UNREAD: Final = "~other"
"""Status of a response whose headers could not be read."""
GRPC_CODES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""Names by number, from gRPC's statuscodes.md."""
_STATUSES: Final = range(100, 600)
MAX_STREAMS: Final = 256
"""Requests under way on one connection; the oldest is forgotten, and counted, where there are more."""
_GRPC: Final = b"application/grpc"
_PSEUDO: Final = frozenset({":method", ":path", ":status"})


class Ended(NamedTuple):
    """A request that ended; times are the kernel's, 0 where there was none.

    Attributes:
        method: as sent; empty where unknown.
        target: path as sent; empty where unknown.
        status: of HTTP; ``None`` where unknown.
        grpc: it was a call of gRPC.
        grpc_status: its status' number; ``None`` where unknown.
        traceparent: the header's value; empty without one.
        started_ns: first byte of the request.
        first_ns: first byte of the response.
        last_ns: last byte of the response, or the end of the stream.
        complete: the response was seen to its end.
    """

    method: str
    target: str
    status: int | None
    grpc: bool
    grpc_status: int | None
    traceparent: str
    started_ns: int
    first_ns: int
    last_ns: int
    complete: bool


@dataclass(slots=True)
class _Stream:
    started_ns: int
    request: Mapping[str, bytes]
    response: Mapping[str, bytes] = field(default_factory=dict)
    first_ns: int = 0


def outcome(ended: Ended) -> str:
    """Return what a request's end counts as: the name of gRPC's status, or ``2xx`` and so on."""
    if not ended.complete:
        return ABORTED
    if ended.grpc:
        known = ended.grpc_status is not None and ended.grpc_status < len(GRPC_CODES)
        return GRPC_CODES[ended.grpc_status or 0] if known else "UNKNOWN"
    return f"{ended.status // 100}xx" if ended.status and ended.status in _STATUSES else UNREAD


class Connection:
    """One connection, from its first byte on.

    Args:
        headers: names of the headers that may be looked at.
    """

    def __init__(self, headers: frozenset[str]) -> None:
        self._client, self._server = Side(headers | _PSEUDO), Side(headers | _PSEUDO)
        self._streams: OrderedDict[int, _Stream] = OrderedDict()
        self.forgotten = 0
        """Requests that were forgotten since this was last set to 0."""

    @property
    def desynced(self) -> bool:
        """Whether headers of one direction cannot be read any more."""
        return self._client.desynced or self._server.desynced

    def desync(self) -> None:
        """Take it that something was lost."""
        self._client.desync()
        self._server.desync()

    def feed(self, data: bytes, *, from_server: bool, at_ns: int) -> Iterator[Ended]:
        """Take what was sent, and yield the requests that ended with it.

        Args:
            data: frames, or pieces of them; data frames without their payload.
            from_server: who sent it.
            at_ns: when.
        """
        side = self._server if from_server else self._client
        for frame in side.frames(data):
            ended = self._frame(frame, side, from_server=from_server, at_ns=at_ns)
            if ended:
                yield ended

    def close(self, *, at_ns: int) -> Iterator[Ended]:
        """Yield the requests that the end of the connection aborts."""
        while self._streams:
            yield _ended(self._streams.popitem(last=False)[1], at_ns=at_ns, complete=False)

    def _frame(self, frame: Frame, side: Side, *, from_server: bool, at_ns: int) -> Ended | None:
        headers = None
        if frame.kind in (HEADERS, CONTINUATION, PUSH_PROMISE):
            headers = side.headers(frame)
        if frame.kind == RST_STREAM:
            stream = self._streams.pop(frame.stream, None)
            return _ended(stream, at_ns=at_ns, complete=False) if stream else None
        if frame.kind == PUSH_PROMISE:
            return None
        if not from_server:
            if frame.kind == HEADERS:
                self._begin(frame.stream, headers or {}, at_ns=at_ns)
            elif headers and frame.stream in self._streams:
                self._streams[frame.stream].request = headers
            return None
        stream = self._streams.get(frame.stream)
        if stream is None:
            return None
        if frame.kind == HEADERS:
            stream.first_ns = stream.first_ns or at_ns
        stream.response = {**stream.response, **(headers or {})}
        if frame.kind == CONTINUATION or not frame.flags & END_STREAM:
            return None
        del self._streams[frame.stream]
        return _ended(stream, at_ns=at_ns, complete=True)

    def _begin(self, number: int, headers: Mapping[str, bytes], *, at_ns: int) -> None:
        if number in self._streams:
            return  # its trailers
        self._streams[number] = _Stream(at_ns, headers)
        if len(self._streams) > MAX_STREAMS:
            self._streams.popitem(last=False)
            self.forgotten += 1


def _ended(stream: _Stream, *, at_ns: int, complete: bool) -> Ended:
    request, response = stream.request, stream.response
    return Ended(
        method=_text(request.get(":method")),
        target=_text(request.get(":path")),
        status=_number(response.get(":status")),
        grpc=request.get(CONTENT_TYPE, b"").startswith(_GRPC),
        grpc_status=_number(response.get(GRPC_STATUS)),
        traceparent=_text(request.get(TRACEPARENT)),
        started_ns=stream.started_ns,
        first_ns=stream.first_ns,
        last_ns=at_ns,
        complete=complete,
    )


def _text(value: bytes | None) -> str:
    return value.decode("latin-1") if value else ""


def _number(value: bytes | None) -> int | None:
    return int(value) if value and len(value) <= 3 and value.isdigit() else None  # noqa: PLR2004 - digits of a status
