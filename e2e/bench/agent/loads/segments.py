"""Many small segments on many connections: each message is answered, and each answer acknowledges it.

``serve PORT`` echoes for ever; ``drive PORT CONNECTIONS RATE SECONDS`` exchanges so many segments per second;
``talk HOST PORT SECONDS`` exchanges one after the other, so that no program's delay counts.
"""

import json
import select
import socket
import sys
import time
from typing import Final

MESSAGE: Final = bytes(64)
_TICK_S: Final = 0.002
_BURST: Final = 8
"""Exchanges of a connection in a row: the last answer of a row is acknowledged by a segment of its own."""
_CONNECT_S: Final = 5.0


def serve(port: int) -> None:
    """Echo on ``port`` until killed."""
    listener = socket.create_server(("", port), backlog=512)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    peers: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                peer, _ = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peers[peer.fileno()] = peer
                poll.register(peer.fileno(), select.EPOLLIN)
            elif message := peers[descriptor].recv(4096):
                peers[descriptor].send(message)
            else:
                poll.unregister(descriptor)
                peers.pop(descriptor).close()


def drive(port: int, *, connections: int, rate: float, seconds: float) -> int:
    """Exchange ``rate`` segments per second, both ways counted together, and return how many there were."""
    peers = [connect(port) for _ in range(connections)]
    started = time.monotonic()
    turn = 0
    while (now := time.monotonic()) < started + seconds:
        due = round((now - started) * rate / (2 * _BURST)) - turn
        batch = [peers[(turn + index) % connections] for index in range(min(due, connections))]
        for _ in range(_BURST):
            for peer in batch:
                peer.send(MESSAGE)
            for peer in batch:
                peer.recv(4096)
        turn += len(batch)
        time.sleep(max(0.0, _TICK_S - (time.monotonic() - now)))
    return 2 * _BURST * turn


def talk(host: str, port: int, *, seconds: float) -> int:
    """Exchange messages on one connection, each acknowledged at once, and return how many segments there were."""
    peer = connect(port, host=host)
    deadline = time.monotonic() + seconds
    exchanged = 0
    while time.monotonic() < deadline:
        peer.send(MESSAGE)
        peer.recv(4096)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        exchanged += 1
    return 2 * exchanged


def connect(port: int, *, host: str = "127.0.0.1") -> socket.socket:
    """Return a connection to a load that may be starting still."""
    deadline = time.monotonic() + _CONNECT_S
    while True:
        try:
            peer = socket.create_connection((host, port), timeout=_CONNECT_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return peer


if __name__ == "__main__":
    how, *words = sys.argv[1:]
    if how == "serve":
        serve(int(words[0]))
    if how == "talk":
        sent = talk(words[0], int(words[1]), seconds=float(words[2]))
    else:
        sent = drive(int(words[0]), connections=int(words[1]), rate=float(words[2]), seconds=float(words[3]))
    print(json.dumps({"segments": sent}))
