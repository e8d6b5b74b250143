"""HTTP requests: ``steady PORT RATE SECONDS`` starts so many per second, ``exactly PORT COUNT`` sends so many."""

import gc
import json
import select
import socket
import sys
import time
from typing import Final

from e2e.bench.agent.loads.segments import connect

PATH: Final = "/v1/items"
_CONNECTIONS: Final = 16
_WARM_UP_S: Final = 0.2


def steady(port: int, *, rate: float, seconds: float) -> list[float]:
    """Return the latency of each request, in seconds; requests start at a fixed rate, on idle connections."""
    idle = [connect(port) for _ in range(_CONNECTIONS)]
    asked = dict[socket.socket, float]()
    latencies = list[float]()
    started = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < started + seconds:
        due = started + sent / rate
        if idle and now >= due:
            peer = idle.pop()
            asked[peer] = time.perf_counter()
            peer.send(_request(sent))
            sent += 1
        wait_s = max(0.0, due - now) if idle else None
        for peer in select.select(asked, [], [], wait_s)[0]:
            peer.recv(65536)
            latencies.append(time.perf_counter() - asked.pop(peer))
            idle.append(peer)
    return latencies[round(_WARM_UP_S * rate) :]


def exactly(port: int, count: int) -> None:
    """Send so many requests, each after the answer to the one before."""
    with connect(port) as peer, peer.makefile("rb") as answers:
        for number in range(count):
            peer.send(_request(number))
            length = 0
            while (line := answers.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            answers.read(length)


def _request(number: int) -> bytes:
    return f"GET {PATH}/{number} HTTP/1.1\r\nHost: server\r\nAccept: application/json\r\n\r\n".encode()


if __name__ == "__main__":
    if sys.argv[1] == "exactly":
        exactly(int(sys.argv[2]), int(sys.argv[3]))
        print(json.dumps({"requests": int(sys.argv[3])}))
    else:
        # A pause of the collector here would be taken for latency.
        gc.disable()
        taken = sorted(steady(int(sys.argv[2]), rate=float(sys.argv[3]), seconds=float(sys.argv[4])))
        quantiles = {"p50_s": taken[len(taken) // 2], "p99_s": taken[len(taken) * 99 // 100]}
        print(json.dumps({"requests": len(taken), **quantiles}))
