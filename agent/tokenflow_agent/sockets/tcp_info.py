"""Reads ``struct tcp_info`` (linux/tcp.h), which has grown with the kernels and never changed what it had."""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

_FIELDS: Final = (
    ("ca_state", 1, "B"),
    ("rtt", 68, "I"),
    ("rttvar", 72, "I"),
    ("total_retrans", 100, "I"),
    ("segs_out", 136, "I"),
    ("segs_in", 140, "I"),
    ("notsent_bytes", 144, "I"),
    ("min_rtt", 148, "I"),
    ("delivery_rate", 160, "Q"),
    ("dsack_dups", 216, "I"),
    ("rcv_ooopack", 224, "I"),
)
"""Name, offset in bytes, format."""
OLDEST: Final = 104
"""Length up to ``total_retrans``, which every kernel has that the agent can meet."""


class TcpInfo(NamedTuple):
    """What the kernel tells of one connection; ``None`` is what this kernel is too old for.

    Attributes:
        ca_state: state of its congestion control; from 3 on, it recovers from loss.
        rtt: smoothed round-trip time, in microseconds.
        rttvar: its mean deviation.
        total_retrans: segments sent again, since the start.
        segs_out: segments sent.
        segs_in: segments received.
        notsent_bytes: bytes that wait to be sent.
        min_rtt: least round-trip time of the last minutes, in microseconds.
        delivery_rate: bytes per second.
        dsack_dups: segments sent again for nothing.
        rcv_ooopack: segments received early.
    """

    ca_state: int
    rtt: int
    rttvar: int
    total_retrans: int
    segs_out: int | None
    segs_in: int | None
    notsent_bytes: int | None
    min_rtt: int | None
    delivery_rate: int | None
    dsack_dups: int | None
    rcv_ooopack: int | None


def parse(data: bytes) -> TcpInfo | None:
    """Return what ``data`` tells; ``None`` when it is too short to be a ``struct tcp_info``."""
    if len(data) < OLDEST:
        return None
    layout, missing = _layout(len(data))
    return TcpInfo._make((*layout.unpack_from(data), *([None] * missing)))


@lru_cache(maxsize=8)
def _layout(length: int) -> tuple[struct.Struct, int]:
    """Return the format of the fields that ``length`` bytes hold, and how many they do not hold."""
    words, position, missing = "=", 0, 0
    for _, offset, kind in _FIELDS:
        size = struct.calcsize(f"={kind}")
        if offset + size > length:
            missing += 1
            continue
        words += f"{offset - position}x{kind}"
        position = offset + size
    return struct.Struct(words), missing
