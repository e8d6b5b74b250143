"""What may wait on a connection for a slow reader."""

import asyncio
import socket
from typing import Final

UNSENT_BYTES: Final = 16_384
"""The kernel takes no more than this ahead of what it has sent: what it holds can no longer be replaced by newer."""


def keep_short(transport: asyncio.Transport) -> None:
    """Let a writer know at once when its reader does not follow."""
    transport.set_write_buffer_limits(high=0)
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
