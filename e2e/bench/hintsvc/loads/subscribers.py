"""Subscribers: ``PORT SUBSCRIBERS SECONDS`` follow the stream of snapshots, and the time to each one is taken.

It counts from the stamp that the leader puts on a snapshot once it has decided, by the same machine's clock.
Once all have their first snapshot a line says so, and the measurement begins with the next line of the input.
"""

import gc
import json
import re
import select
import sys
import time
from dataclasses import dataclass, field
from typing import Final, Self

from e2e.bench.hintsvc.loads.connection import Connection, get
from e2e.bench.hintsvc.policy import TENANTS, api_key

_STAMP: Final = re.compile(rb'"at_unix_ms":\s*(\d+)')
_CHUNK: Final = 1 << 18
_PACE: Final = 64
"""So many connect at once: the storm is another load."""
_ALL_S: Final = 60.0


@dataclass(slots=True)
class Deliveries:
    """What the subscribers got.

    Attributes:
        latencies_ms: of each snapshot at each subscriber.
        snapshots: stamps that any subscriber saw.
        broken: streams that ended.
    """

    latencies_ms: list[float] = field(default_factory=list)
    snapshots: set[int] = field(default_factory=set)
    broken: int = 0


class Subscribers:
    """Open streams."""

    def __init__(self, port: int, *, number: int) -> None:
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._rest: dict[int, bytes] = {}
        for index in range(number):
            connection = Connection(port)
            connection.wait_open()
            tenant = TENANTS[index % len(TENANTS)]
            request = get("/v1/hints/stream", authorization=f"Bearer {api_key(tenant)}")
            connection.send(request, intended=0.0)
            self._open[connection.socket.fileno()] = connection
            self._poll.register(connection.socket, select.EPOLLIN)
            if index % _PACE == 0:
                self.follow(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open.values():
            connection.socket.close()
        self._poll.close()

    def follow(self, seconds: float) -> Deliveries:
        """Take what comes."""
        taken = Deliveries()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left):
                self._take(descriptor, taken)
        return taken

    def wait_for_all(self) -> bool:
        """Follow until each subscriber has had a snapshot; return false where one does not get one in time."""
        deadline = time.monotonic() + _ALL_S
        while time.monotonic() < deadline:
            self.follow(0.5)
            if len(self._rest) == len(self._open):
                return True
        return False

    def _take(self, descriptor: int, taken: Deliveries) -> None:
        try:
            chunk = self._open[descriptor].socket.recv(_CHUNK)
        except OSError:
            chunk = b""
        if not chunk:
            taken.broken += 1
            self._poll.unregister(descriptor)
            self._open.pop(descriptor).socket.close()
            return
        *events, rest = (self._rest.get(descriptor, b"") + chunk).split(b"\n\n")
        now = time.time() * 1000
        for event in events:
            stamp = _STAMP.search(event)
            if stamp:
                at = int(stamp[1])
                taken.latencies_ms.append(now - at)
                taken.snapshots.add(at)
        self._rest[descriptor] = rest


def main() -> None:
    """Run the load."""
    port, number, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    gc.disable()
    with Subscribers(port, number=number) as subscribers:
        if not subscribers.wait_for_all():
            sys.exit("not all subscribers got a snapshot within a minute")
        print("ready", flush=True)
        sys.stdin.readline()
        taken = subscribers.follow(seconds)
    print(
        json.dumps(
            {
                "latencies_ms": [round(one, 2) for one in taken.latencies_ms],
                "snapshots": len(taken.snapshots),
                "broken": taken.broken,
            }
        )
    )


if __name__ == "__main__":
    main()
