"""Ends of a path that a process of this machine carries: a TUN device in each of two network namespaces."""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from e2e.commands import run

PACKET_BYTES: Final = 65_536
"""Largest packet that is read from an end."""
_TUN: Final = Path("/dev/net/tun")
_SET_INTERFACE: Final = 0x400454CA
_TUN_WITHOUT_HEADER: Final = 0x1001


def open_end(name: str, *, netns: str | None, address: str) -> int:
    """Return the descriptor of a new TUN device, which goes when it is closed.

    Args:
        name: of the device.
        netns: name of the network namespace that it is put into; ``None`` is this process's own.
        address: that the device has, with the length of its network.

    Raises:
        CommandError: it cannot be set up.
    """
    descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    inside = ["ip"] if netns is None else ["ip", "-n", netns]
    if netns is not None:
        run(["ip", "link", "set", name, "netns", netns])
    run([*inside, "address", "add", address, "dev", name])
    run([*inside, "link", "set", name, "up"])
    return descriptor
