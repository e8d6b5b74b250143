"""Connections that nobody accepts: ``serve PORT LIMIT`` listens, ``fill PORT COUNT`` connects; both until killed."""

import signal
import socket
import sys

from e2e.bench.agent.loads.segments import connect

if __name__ == "__main__":
    port, number = int(sys.argv[2]), int(sys.argv[3])
    if sys.argv[1] == "serve":
        held = [socket.create_server(("127.0.0.1", port), backlog=number)]
    else:
        held = [connect(port) for _ in range(number)]
    signal.pause()
