"""Reads and writes BPF maps by their file descriptors."""

import ctypes
import struct
from collections.abc import Iterator
from typing import Final

from tokenflow_agent.kernel.bpf import bpf

_LOOKUP: Final = 1
_UPDATE: Final = 2
_DELETE: Final = 3
_NEXT_KEY: Final = 4


class _Attribute(ctypes.Structure):
    """The part of ``union bpf_attr`` that commands on one element use."""

    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class BpfMap:
    """A map of the kernel's.

    Args:
        descriptor: its file descriptor, which stays its owner's.
        key: format of a key.
        value: format of a value.
    """

    def __init__(self, descriptor: int, *, key: struct.Struct, value: struct.Struct) -> None:
        self._descriptor = descriptor
        self._key = key
        self._value = value

    def get(self, *key: int | bytes) -> tuple[int | bytes, ...] | None:
        """Return the value of ``key``; ``None`` when there is none."""
        buffer = ctypes.create_string_buffer(self._value.size)
        found = self._call(_LOOKUP, self._key.pack(*key), buffer)
        return self._value.unpack(buffer.raw) if found else None

    def put(self, key: tuple[int | bytes, ...], value: tuple[int | bytes, ...]) -> None:
        """Set the value of ``key``."""
        buffer = ctypes.create_string_buffer(self._value.pack(*value), self._value.size)
        self._call(_UPDATE, self._key.pack(*key), buffer)

    def delete(self, *key: int | bytes) -> None:
        """Remove ``key``; one that is gone is no error."""
        self._call(_DELETE, self._key.pack(*key), None)

    def keys(self, *, most: int) -> Iterator[tuple[int | bytes, ...]]:
        """Yield the keys, at most ``most``: the kernel may add some meanwhile."""
        current: bytes | None = None
        following = ctypes.create_string_buffer(self._key.size)
        for _ in range(most):
            if not self._call(_NEXT_KEY, current, following):
                return
            current = following.raw
            yield self._key.unpack(current)

    def _call(self, command: int, key: bytes | None, value: ctypes.Array[ctypes.c_char] | None) -> bool:
        """Return false when there is no such element.

        Raises:
            OSError: the kernel refused.
        """
        held = ctypes.create_string_buffer(key, len(key)) if key is not None else None
        attribute = _Attribute(
            map_fd=self._descriptor,
            key=ctypes.addressof(held) if held is not None else 0,
            value=ctypes.addressof(value) if value is not None else 0,
        )
        try:
            bpf(command, attribute)
        except FileNotFoundError:
            return False
        return True
