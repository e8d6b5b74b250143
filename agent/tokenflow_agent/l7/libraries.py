"""Finds the TLS libraries that processes have mapped, also in containers."""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

_LINE: Final = re.compile(
    rb"^([0-9a-f]+-[0-9a-f]+) \S+ \S+ ([0-9a-f]+:[0-9a-f]+) ([0-9]+)"
    rb" +(/.*/libssl(?:-[^/\n]*)?\.so[^/\n]*?)( \(deleted\))?$",
    re.MULTILINE,
)
"""Also those that Python packages bring, such as libssl-81ffa89e.so.3; not NSS's libssl3.so."""
_MOST_BYTES: Final = 1 << 22
"""Of one process's mappings."""


class Library(NamedTuple):
    """A file, whatever it is called and wherever it is mounted.

    Attributes:
        device: that it is on, as ``/proc/<pid>/maps`` has it.
        inode: its number there.
    """

    device: str
    inode: int


def mapped(pid: int, *, proc: Path) -> dict[Library, Path]:
    """Return the OpenSSL libraries that a process uses, and where this process can open each.

    Args:
        pid: of the process.
        proc: the host's /proc.

    Raises:
        OSError: the process is gone, or may not be looked at.
    """
    with (proc / str(pid) / "maps").open("rb", buffering=0) as file:
        text = b"".join(iter(lambda: file.read(1 << 16), b""))[:_MOST_BYTES]
    if b"/libssl" not in text:
        return {}
    found: dict[Library, Path] = {}
    for span, device, inode, path, deleted in _LINE.findall(text):
        library = Library(device.decode(), int(inode))
        # A file that was replaced can still be opened where it is mapped.
        place = f"map_files/{span.decode()}" if deleted else f"root{os.fsdecode(path)}"
        found.setdefault(library, proc / str(pid) / place)
    return found
