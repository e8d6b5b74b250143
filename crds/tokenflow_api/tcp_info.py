"""What the kernel says of a TCP connection: ``struct tcp_info`` of <linux/tcp.h>."""

import fcntl
import socket
import struct
import termios
from dataclasses import dataclass
from typing import Final

_SIZE: Final = 232
_RTT: Final = 8 + 15 * 4
_TOTAL_RETRANS: Final = 8 + 23 * 4
_BYTES_ACKED: Final = 120
_SEGS_IN: Final = 140
_NOTSENT: Final = 144
_MIN_RTT: Final = 148


@dataclass(frozen=True, kw_only=True, slots=True)
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
    return TcpInfo(
        rtt_us=_u32(data, _RTT),
        min_rtt_us=_u32(data, _MIN_RTT),
        retransmits=_u32(data, _TOTAL_RETRANS),
        acked_bytes=struct.unpack_from("=Q", data, _BYTES_ACKED)[0],
        received_segments=_u32(data, _SEGS_IN),
        queued_bytes=queued_bytes,
        unsent_bytes=_u32(data, _NOTSENT),
    )


def _u32(data: bytes, offset: int) -> int:
    value: int = struct.unpack_from("=I", data, offset)[0]
    return value
