"""Finds functions in a shared library, by its dynamic symbols (System V ABI, ELF-64)."""

import os
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import ProbeError

_IDENTITY: Final = b"\x7fELF\x02\x01"
"""64 bits, little-endian: all machines that the agent knows."""
_FILE: Final = struct.Struct("<16xHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_LOAD: Final = 1
_DYNAMIC_SYMBOLS: Final = 11
_FUNCTION: Final = 2
_MOST_BYTES: Final = 1 << 22
"""Of one table: libssl's have some 30 KiB."""
_MOST_HEADERS: Final = 256


def functions(library: Path, names: Collection[str]) -> dict[str, int]:
    """Return where those functions that the library defines are, in bytes from the start of its file.

    Raises:
        ProbeError: it cannot be read, or is no such library.
    """
    try:
        descriptor = os.open(library, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return dict(_functions(descriptor, {name.encode() for name in names}))
        finally:
            os.close(descriptor)
    except (OSError, struct.error, ValueError) as error:
        raise ProbeError("LibraryUnreadable", f"{library} cannot be read as a shared library: {error}") from error


def _functions(descriptor: int, names: set[bytes]) -> Iterator[tuple[str, int]]:
    head = os.pread(descriptor, _FILE.size, 0)
    if not head.startswith(_IDENTITY):
        raise ValueError("it is no 64-bit little-endian ELF file")
    _, _, _, _, segments_at, sections_at, _, _, _, segments, _, sections, _ = _FILE.unpack(head)
    loads = [
        (address, offset, size)
        for kind, _, offset, address, _, size, _, _ in _table(descriptor, _SEGMENT, segments_at, segments)
        if kind == _LOAD
    ]
    found = list(_table(descriptor, _SECTION, sections_at, sections))
    for _, kind, _, _, offset, size, link, _, _, _ in found:
        if kind != _DYNAMIC_SYMBOLS or link >= len(found):
            continue
        strings = _bytes(descriptor, found[link][4], found[link][5])
        for name_at, info, _, section, value, _ in _SYMBOL.iter_unpack(_bytes(descriptor, offset, size)):
            name = strings[name_at : strings.find(b"\0", name_at)] if section and info & 0xF == _FUNCTION else b""
            if name in names:
                yield from (
                    (name.decode(), value - base + start) for base, start, n in loads if base <= value < base + n
                )


def _table(descriptor: int, entry: struct.Struct, at: int, count: int) -> Iterator[tuple[int, ...]]:
    return entry.iter_unpack(_bytes(descriptor, at, entry.size * min(count, _MOST_HEADERS)))


def _bytes(descriptor: int, at: int, size: int) -> bytes:
    if size > _MOST_BYTES or at > os.fstat(descriptor).st_size:
        raise ValueError(f"a table of {size} bytes at {at} is no library's")
    return os.pread(descriptor, size, at)
