"""HTTP requests at a steady rate: ``serve PORT LOG`` answers and writes a log, ``drive PORT RATE SECONDS`` asks.

``drive PORT exactly COUNT`` sends that many requests, one after the other.
"""

import asyncio
import json
import select
import socket
import sys
import time
from pathlib import Path
from typing import Final

from aiohttp import web

from e2e.bench.agent.loads.segments import connect

PATH: Final = "/v1/items"
_CONNECTIONS: Final = 16
_BODY: Final = json.dumps({"items": list(range(64))})
_ANSWER_S: Final = 5.0


async def serve(port: int, log: Path) -> None:
    """Answer on ``port`` until killed; each request adds a line to ``log``."""
    with log.open("a", buffering=1) as lines:

        async def answer(request: web.Request) -> web.Response:
            lines.write(f"{request.method} {request.path} 200\n")
            return web.Response(text=_BODY, content_type="application/json")

        app = web.Application()
        app.router.add_get(f"{PATH}/{{item}}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


def drive(port: int, *, rate: float, seconds: float) -> list[float]:
    """Return the latency of each request, in seconds; requests start at a fixed rate on idle connections."""
    poll = select.epoll()
    peers = {peer.fileno(): peer for peer in (connect(port) for _ in range(_CONNECTIONS))}
    for descriptor in peers:
        poll.register(descriptor, select.EPOLLIN)
    idle, asked, latencies = list(peers), dict[int, float](), list[float]()
    started = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < started + seconds:
        if idle and sent < (now - started) * rate:
            descriptor = idle.pop()
            asked[descriptor] = time.perf_counter()
            peers[descriptor].send(_request(sent))
            sent += 1
        # Waking up late would be taken for latency: at these rates looking again at once costs less.
        for descriptor, _ in poll.poll(0):
            peers[descriptor].recv(65536)
            latencies.append(time.perf_counter() - asked.pop(descriptor))
            idle.append(descriptor)
    return latencies


def exactly(port: int, count: int) -> None:
    """Send so many requests, each after the answer to the one before."""
    with connect(port) as peer:
        peer.settimeout(_ANSWER_S)
        for number in range(count):
            peer.send(_request(number))
            _read_answer(peer)


def _read_answer(peer: socket.socket) -> None:
    answer = b""
    while not answer.endswith(_BODY.encode()):
        answer += peer.recv(65536)


def _request(number: int) -> bytes:
    return f"GET {PATH}/{number} HTTP/1.1\r\nHost: server\r\nAccept: application/json\r\n\r\n".encode()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(int(sys.argv[2]), Path(sys.argv[3])))
    elif sys.argv[3] == "exactly":
        exactly(int(sys.argv[2]), int(sys.argv[4]))
        print(json.dumps({"requests": int(sys.argv[4])}))
    else:
        taken = sorted(drive(int(sys.argv[2]), rate=float(sys.argv[3]), seconds=float(sys.argv[4])))
        print(
            json.dumps(
                {"requests": len(taken), "p50_s": taken[len(taken) // 2], "p99_s": taken[len(taken) * 99 // 100]}
            )
        )
