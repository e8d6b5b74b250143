"""Plain HTTP on a port that speaks TLS: TLS can only hang up, so whoever speaks it is told here what to write."""

import asyncio
import socket
from contextlib import ExitStack, suppress
from typing import Final

LINGER_S: Final = 1.0
"""Time that a client has to read the answer, which a reset would take from it."""
_MOST_BYTES: Final = 256 << 10
"""What it may still send within that time."""
_CHUNK: Final = 16 << 10

_WORDS: Final = b"This port speaks TLS, and was sent plain HTTP: write https:// instead of http://.\n"
_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
) % (len(_WORDS), _WORDS)


async def turned_away(connection: socket.socket, *, within_s: float) -> bool:
    """Return whether HTTP begins a new connection; if so it was answered 400, and is closed.

    Args:
        connection: accepted, and not read from yet.
        within_s: seconds that its first byte may take.

    Raises:
        OSError: it broke, or nothing came (``TimeoutError`` is one, too); it is closed.
    """
    with ExitStack() as closing:
        closing.callback(connection.close)
        if not await _begins(connection, within_s):
            closing.pop_all()
            return False
        # Who leaves before the end, or goes on beyond it, was told.
        with suppress(OSError):
            await _refuse(connection)
        return True


async def _begins(connection: socket.socket, within_s: float) -> bool:
    """Look at the first byte, which stays: methods are written in capitals, and no record of TLS begins with one."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(connection, arrived.set)
    try:
        async with asyncio.timeout(within_s):
            await arrived.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK).isupper()


async def _refuse(connection: socket.socket) -> None:
    """Answer, and wait until the client closes; nothing that it sends is looked at."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LINGER_S):
        await loop.sock_sendall(connection, _ANSWER)
        connection.shutdown(socket.SHUT_WR)
        left = _MOST_BYTES
        while left > 0 and (said := await loop.sock_recv(connection, _CHUNK)):
            left -= len(said)
