"""Nodes that report: ``PORT TOKENS FIRST NODES CONNECTIONS RATE SECONDS``; a rate of 0 is as fast as it is answered.

``TOKENS`` is a JSON file with the token of each node, in their order. Batches are built and encoded as they are sent.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

from e2e.bench.hintsvc.batches import batches
from e2e.bench.hintsvc.loads.connection import Fleet
from tokenflow_api.codec import CONTENT_TYPE, encode

WARM_UP_S: Final = 1.0
_TICK_S: Final = 0.01


def requests(tokens: list[str], *, first: int) -> Iterator[bytes]:
    """Yield the requests of all nodes in turn, for ever."""
    reporters = [(token, batches(node)) for node, token in enumerate(tokens, first)]
    for token, reporter in cycle(reporters):
        body = encode(next(reporter))
        head = (
            f"POST /v1/telemetry HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


def deliver(port: int, sending: Iterator[bytes], *, connections: int, rate: float, seconds: float) -> Counter[int]:
    """Send requests for ``seconds`` after the warm-up; return how often each status came then."""
    statuses: Counter[int] = Counter()
    with Fleet(port, size=connections) as fleet:
        began = time.perf_counter()
        counted, end = began + WARM_UP_S, began + WARM_UP_S + seconds
        sent = 0
        while (now := time.perf_counter()) < end:
            while fleet.free and (not rate or sent < (now - began) * rate):
                fleet.send(next(sending), intended=now)
                sent += 1
            for intended, status in fleet.answers(_TICK_S):
                statuses[status] += intended >= counted
    return statuses


if __name__ == "__main__":
    words = sys.argv[1:]
    begin, nodes = int(words[2]), int(words[3])
    delivered = deliver(
        int(words[0]),
        requests(json.loads(Path(words[1]).read_text())[begin : begin + nodes], first=begin),
        connections=int(words[4]),
        rate=float(words[5]),
        seconds=float(words[6]),
    )
    print(json.dumps(delivered))
