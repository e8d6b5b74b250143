"""A storm: ``PORT PATH AUTHORIZATION CLIENTS`` connects all at once, and each client reads once.

A client that is answered other than by 200, or not within 20 s, is lost.
"""

import json
import select
import sys
import time
from typing import Final

from e2e.bench.hintsvc.loads.connection import Connection, get

_PATIENCE_S: Final = 20.0
_OK: Final = 200
_BROKEN_OFF: Final = -1


def storm(port: int, request: bytes, *, clients: int) -> list[int]:
    """Return the microseconds from each client's connecting to its answer, of those that were answered."""
    waiting = {}
    latencies = []
    with select.epoll() as poll:
        for _ in range(clients):
            connection = Connection(port)
            waiting[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.EPOLLOUT)
        deadline = time.perf_counter() + _PATIENCE_S
        while waiting and time.perf_counter() < deadline:
            for descriptor, events in poll.poll(1.0):
                connection = waiting[descriptor]
                try:
                    if events & select.EPOLLOUT:
                        connection.send(request, intended=connection.intended)
                        poll.modify(descriptor, select.EPOLLIN)
                        continue
                    status = connection.receive()
                except OSError:
                    status = _BROKEN_OFF
                if status == _OK:
                    latencies.append(round((time.perf_counter() - connection.intended) * 1e6))
                if status:
                    waiting.pop(descriptor).socket.close()
    for connection in waiting.values():
        connection.socket.close()
    return latencies


if __name__ == "__main__":
    answered = storm(int(sys.argv[1]), get(sys.argv[2], authorization=sys.argv[3]), clients=int(sys.argv[4]))
    print(json.dumps({"latencies_us": answered, "lost": int(sys.argv[4]) - len(answered)}))
