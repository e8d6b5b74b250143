"""Asks another host's kernel to echo, as ping does: ``HOST SECONDS``, and tells the mean time that it took."""

import json
import os
import socket
import statistics
import struct
import sys
import time
from typing import Final

_REQUEST: Final = 8
_REPLY: Final = 0
_HEADER: Final = struct.Struct("!BBHHH")
_IP_BYTES: Final = 20
_PERIOD_S: Final = 0.02
_ANSWER_S: Final = 2.0


def echoes(host: str, *, seconds: float) -> float:
    """Return the mean round-trip time of echoes, in seconds (RFC 792)."""
    taken = list[float]()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(_ANSWER_S)
        raw.connect((host, 0))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            request = _request(len(taken))
            asked = time.perf_counter()
            raw.send(request)
            while raw.recv(1024)[_IP_BYTES:] != _reply(request):
                pass
            taken.append(time.perf_counter() - asked)
            time.sleep(_PERIOD_S)
    return statistics.fmean(taken)


def _request(number: int) -> bytes:
    bare = _HEADER.pack(_REQUEST, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
    return _with_checksum(bare)


def _reply(request: bytes) -> bytes:
    return _with_checksum(bytes([_REPLY, 0, 0, 0]) + request[4:])


def _with_checksum(bare: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(bare) // 2}H", bare))
    total = (total & 0xFFFF) + (total >> 16)
    return bare[:2] + struct.pack("!H", ~total & 0xFFFF) + bare[4:]


if __name__ == "__main__":
    print(json.dumps({"round_trip_s": echoes(sys.argv[1], seconds=float(sys.argv[2]))}))
