"""A bulk stream over loopback: ``serve PORT`` swallows, ``drive PORT SECONDS`` sends as fast as it can."""

import json
import socket
import sys
import time
from typing import Final

from e2e.bench.agent.loads.segments import connect

_CHUNK: Final = 1 << 17
_SETTLE_S: Final = 0.3


def serve(port: int) -> None:
    """Swallow what one connection after the other sends, until killed."""
    listener = socket.create_server(("127.0.0.1", port))
    buffer = bytearray(1 << 20)
    while True:
        peer, _ = listener.accept()
        with peer:
            while peer.recv_into(buffer):
                pass


def drive(port: int, *, seconds: float) -> float:
    """Return the bytes per second that were sent, once the connection has grown to its speed."""
    chunk = bytes(_CHUNK)
    with connect(port) as peer:
        began = time.monotonic()
        while time.monotonic() < began + _SETTLE_S:
            peer.sendall(chunk)
        started, sent = time.monotonic(), 0
        while (now := time.monotonic()) < started + seconds:
            peer.sendall(chunk)
            sent += _CHUNK
        return sent / (now - started)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    print(json.dumps({"bytes_per_second": drive(int(sys.argv[2]), seconds=float(sys.argv[3]))}))
