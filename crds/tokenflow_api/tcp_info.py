"""What the kernel says of a TCP connection: ``struct tcp_info`` of <linux/tcp.h>."""

import fcntl
import socket
import struct
import termios
from dataclasses import dataclass
from typing import Final

_SIZE: Final = 232
_FIELDS: Final = struct.Struct("=68xI28xI16xQ12xIII")
"""Of it tcpi_rtt, tcpi_total_retrans, tcpi_bytes_acked, tcpi_segs_in, tcpi_notsent_bytes and tcpi_min_rtt."""


# Not frozen, which would make it three times as slow: each open stream reads one a second.
@dataclass(kw_only=True, slots=True)
class TcpInfo:
    """State of one connection.

    Attributes:
        rtt_us: smoothed round-trip time, in microseconds.
        min_rtt_us: the least within the kernel's window.
        retransmits: segments sent again, since the start.
        acked_bytes: bytes that the peer acknowledged, since the start.
        received_segments: that the peer sent, since the start.
        queued_bytes: bytes in the send queue, sent or not.
        unsent_bytes: those of them that were not sent yet.
    """

    rtt_us: int
    min_rtt_us: int
    retransmits: int
    acked_bytes: int
    received_segments: int
    queued_bytes: int
    unsent_bytes: int


def read(sock: socket.socket) -> TcpInfo | None:
    """Return the state of a connection; ``None`` when it is closed."""
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
        queued = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
    except (OSError, ValueError):
        # The peer left between two looks.
        return None
    return parse(data.ljust(_SIZE, b"\0"), queued_bytes=queued)


def parse(data: bytes, *, queued_bytes: int) -> TcpInfo:
    """Return what ``data`` says; fields that an old kernel leaves out are zero."""
    rtt_us, retransmits, acked_bytes, received_segments, unsent_bytes, min_rtt_us = _FIELDS.unpack_from(data)
    return TcpInfo(
        rtt_us=rtt_us,
        min_rtt_us=min_rtt_us,
        retransmits=retransmits,
        acked_bytes=acked_bytes,
        received_segments=received_segments,
        queued_bytes=queued_bytes,
        unsent_bytes=unsent_bytes,
    )
