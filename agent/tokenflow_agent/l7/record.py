"""What the kernel hands over of one exchange, as laid out in ``exchange.h``."""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("=QQQQQIHHHBBBBBB")
HEAD_BYTES: Final = _HEAD.size
"""Of a record, before the first bytes of the request."""


class Protocol(IntEnum):
    """What a connection was taken for by its first bytes."""

    HTTP1 = 1
    HTTP2 = 2
    POSTGRESQL = 3
    MYSQL = 4


class Kind(IntEnum):
    """What a record tells of."""

    EXCHANGE = 0
    """A request that ended."""
    STREAM_OPENED = 1
    """A response that turned out to be a stream of events."""
    STREAM_ENDED = 2
    """Its response are the sums of the stream, where the kernel still had them."""
    FRAMES = 3
    """A frame of HTTP/2, or a piece of one."""
    CLOSED = 4
    """A connection of HTTP/2 that is over."""
    LOST = 5
    """A connection of HTTP/2 that could not be followed further."""


class Record(NamedTuple):
    """One exchange, or a part of it. Times are the kernel's monotonic ones; 0 where there was none.

    Attributes:
        connection: names the connection while it lasts.
        cgroup: id of the cgroup of its socket.
        started_ns: first byte of the request; of frames: when they came.
        first_ns: first byte of the response; of frames: the number of the piece, counted from 1.
        last_ns: last byte of the response.
        network: inode of the socket's network namespace.
        port: of the listening side; 0 where unknown.
        request_length: bytes of the request that were kept.
        response_length: bytes of the response that were kept.
        protocol: value of ``Protocol``.
        dialed: the cgroup's process sent the request.
        tls: it was read on its way through a TLS library.
        kind: value of ``Kind``.
        complete: the response was seen to its end; of frames: none of the piece is missing.
        from_server: of frames: who sent them.
        request: first bytes of the request; frames.
        response: first bytes of the response.
    """

    connection: int
    cgroup: int
    started_ns: int
    first_ns: int
    last_ns: int
    network: int
    port: int
    request_length: int
    response_length: int
    protocol: int
    dialed: int
    tls: int
    kind: int
    complete: int
    from_server: int
    request: bytes
    response: bytes

    @property
    def latency_us(self) -> int:
        """From the first byte of the request to the last of the response."""
        return max(0, self.last_ns - self.started_ns) // 1000

    @property
    def first_byte_us(self) -> int:
        """From the first byte of the request to the first of the response."""
        return max(0, self.first_ns - self.started_ns) // 1000


def decode(data: bytes) -> Record:
    """Return a record of the ring buffer."""
    fields = _HEAD.unpack_from(data)
    middle = _HEAD.size + fields[7]
    return Record._make((*fields, data[_HEAD.size : middle], data[middle : middle + fields[8]]))
