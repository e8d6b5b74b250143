"""Checks of one tenant's quota as fast as they are answered: ``PORT TENANT KEY CONNECTIONS SECONDS``."""

import json
import sys
import time
from collections import Counter
from typing import Final

from e2e.bench.hintsvc.loads.connection import Fleet

WARM_UP_S: Final = 1.0
_TICK_S: Final = 0.01


def check(port: int, request: bytes, *, connections: int, seconds: float) -> tuple[Counter[int], list[int]]:
    """Ask for ``seconds`` after the warm-up; return how often each status came, and the times in microseconds."""
    statuses: Counter[int] = Counter()
    times = []
    with Fleet(port, size=connections) as fleet:
        counted = time.perf_counter() + WARM_UP_S
        while time.perf_counter() < counted + seconds:
            while fleet.free:
                fleet.send(request, intended=time.perf_counter())
            for intended, status in fleet.answers(_TICK_S):
                if intended >= counted:
                    statuses[status] += 1
                    times.append(round((time.perf_counter() - intended) * 1_000_000))
    return statuses, times


if __name__ == "__main__":
    listening, tenant, key, number, lasting = sys.argv[1:]
    document = json.dumps({"tenant": tenant, "max_tokens": 100, "stream": False}).encode()
    head = f"POST /v1/admit HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
    request = f"{head}Content-Length: {len(document)}\r\n\r\n".encode() + document
    found, took = check(int(listening), request, connections=int(number), seconds=float(lasting))
    print(json.dumps({"statuses": found, "times_us": took}))
