"""An open loop: ``PORT PATH AUTHORIZATION CONNECTIONS RATE SECONDS`` reads at random times, whoever waits.

The times form a Poisson process. A latency counts from the time at which the read should have been sent, also where
no connection was free then: a server that stalls is not spared what would have come meanwhile. The loop never
sleeps, since a timer's slack would be counted as the server's.
"""

import gc
import json
import random
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from e2e.bench.hintsvc.loads.connection import BROKEN, Fleet, get

WARM_UP_S: Final = 1.0
_DRAIN_S: Final = 5.0


@dataclass(slots=True)
class Reads:
    """What became of the reads after the warm-up.

    Attributes:
        latencies_us: of the answers, in microseconds.
        statuses: how often each came.
        unanswered: reads without an answer at the end.
    """

    latencies_us: list[int] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0


def drive(port: int, request: bytes, *, connections: int, rate: float, seconds: float) -> Reads:
    """Send reads for ``seconds`` after the warm-up."""
    with Fleet(port, size=connections) as fleet:
        return _drive(fleet, request, rate=rate, seconds=seconds)


def _drive(fleet: Fleet, request: bytes, *, rate: float, seconds: float) -> Reads:
    reads = Reads()
    waiting: deque[float] = deque()
    began = time.perf_counter()
    counted, end = began + WARM_UP_S, began + WARM_UP_S + seconds
    due = began
    while True:
        now = time.perf_counter()
        while due <= now and due < end:
            waiting.append(due)
            due += random.expovariate(rate)
        while waiting and fleet.free:
            fleet.send(request, intended=waiting.popleft())
        for intended, status in fleet.answers(0):
            if intended >= counted:
                reads.statuses[status] += 1
                if status != BROKEN:
                    reads.latencies_us.append(round((time.perf_counter() - intended) * 1e6))
        reads.unanswered = len(waiting) + fleet.under_way
        if due >= end and (not reads.unanswered or now > end + _DRAIN_S):
            return reads


def main() -> None:
    """Run the load."""
    port, path, authorization, connections, rate, seconds = sys.argv[1:7]
    gc.disable()
    reads = drive(
        int(port),
        get(path, authorization=authorization),
        connections=int(connections),
        rate=float(rate),
        seconds=float(seconds),
    )
    print(json.dumps({"latencies_us": reads.latencies_us, "statuses": reads.statuses, "unanswered": reads.unanswered}))


if __name__ == "__main__":
    main()
