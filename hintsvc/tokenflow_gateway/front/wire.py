"""The way to a reader, and how much of what was written still waits on it."""

import asyncio
import socket
import struct
import time
from typing import Final

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_RESET: Final = struct.pack("ii", 1, 0)
"""Of SO_LINGER: what is unsent is thrown away, and the reader's kernel says so."""


class Wire:
    """Writes to a transport that tells at once when its reader does not follow.

    Attributes:
        peer: address at the other end; empty where it has none.
        socket: of a TCP connection.
        flowing: whether the kernel has taken all that was written.
    """

    __slots__ = ("_moved", "_taken", "_transport", "_written", "flowing", "peer", "socket")

    def __init__(self, transport: asyncio.Transport) -> None:
        # With 0 TLS takes a connection on which nothing waits for one that does not flow.
        transport.set_write_buffer_limits(high=0 if transport.get_extra_info("ssl_object") is None else 1, low=0)
        address = transport.get_extra_info("peername")
        self.peer: str = address[0] if isinstance(address, tuple) else ""
        connection: socket.socket | None = transport.get_extra_info("socket")
        self.socket = connection if connection is not None and connection.family in _INTERNET else None
        self.flowing = True
        self._transport = transport
        self._written = 0
        self._taken = 0
        self._moved = time.monotonic()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken."""
        try:
            return self._transport.get_write_buffer_size()
        except RuntimeError:
            # Of uvloop, once it is closed.
            return 0

    def write(self, data: bytes) -> None:
        """Send something; nothing happens when the connection closes."""
        if not self._transport.is_closing():
            self._written += len(data)
            self._transport.write(data)

    def pause(self) -> None:
        """Take in that the kernel takes no more."""
        self.flowing = False
        self._moved = time.monotonic()

    def resume(self) -> None:
        """Take in that the kernel has taken everything."""
        self.flowing = True

    def stuck_s(self, now: float) -> float:
        """Return for how many seconds the reader has taken nothing of what waits; asked once in a while."""
        taken = self._written - self.waiting_bytes
        if self.flowing or taken > self._taken:
            self._taken, self._moved = taken, now
        return now - self._moved

    def keep_short(self, *, unsent_bytes: int) -> None:
        """Let the kernel take so many bytes ahead of what it has sent, and no more."""
        if self.socket is not None and not self._transport.is_closing():
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent_bytes)

    def reset(self) -> None:
        """Close so that the reader cannot take it for an end."""
        if self.socket is not None and not self._transport.is_closing():
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
