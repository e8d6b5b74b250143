"""Reads and writes BPF maps by their file descriptors."""

import ctypes
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tokenflow_agent.kernel.bpf import bpf

_LOOKUP: Final = 1
_UPDATE: Final = 2
_LOOKUP_AND_DELETE_BATCH: Final = 25
_BATCH: Final = 256
_POSSIBLE: Final = Path("/sys/devices/system/cpu/possible")


class _Attribute(ctypes.Structure):
    """The part of ``union bpf_attr`` that commands on one element use."""

    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _Batch(ctypes.Structure):
    """The part of ``union bpf_attr`` that commands on many elements use."""

    _fields_ = (
        ("in_batch", ctypes.c_uint64),
        ("out_batch", ctypes.c_uint64),
        ("keys", ctypes.c_uint64),
        ("values", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("map_fd", ctypes.c_uint32),
        ("elem_flags", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class BpfMap:
    """A map of the kernel's.

    Args:
        descriptor: its file descriptor, which stays its owner's.
        key: format of a key.
        value: format of a value; of a per-CPU map: of the values of all processors (see ``processors``).
    """

    def __init__(self, descriptor: int, *, key: struct.Struct, value: struct.Struct) -> None:
        self._descriptor = descriptor
        self._key = key
        self._value = value

    def get(self, *key: int | bytes) -> tuple[Any, ...] | None:
        """Return the value of ``key``; ``None`` when there is none.

        Raises:
            OSError: the kernel refused.
        """
        buffer = ctypes.create_string_buffer(self._value.size)
        try:
            self._call(_LOOKUP, self._key.pack(*key), buffer)
        except FileNotFoundError:
            return None
        return self._value.unpack(buffer.raw)

    def put(self, key: tuple[int | bytes, ...], value: tuple[int | bytes, ...]) -> None:
        """Set the value of ``key``.

        Raises:
            OSError: the kernel refused.
        """
        buffer = ctypes.create_string_buffer(self._value.pack(*value), self._value.size)
        self._call(_UPDATE, self._key.pack(*key), buffer)

    def drain(self, *, most: int) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Yield what is in a hash map, key and value, and remove it: many at once, for one call each is slow.

        Args:
            most: the map's size, which bounds the number of calls.

        Raises:
            OSError: the kernel refused, or is older than 5.6.
        """
        keys = ctypes.create_string_buffer(_BATCH * self._key.size)
        values = ctypes.create_string_buffer(_BATCH * self._value.size)
        position = ctypes.c_uint32()
        batch = _Batch(
            out_batch=ctypes.addressof(position),
            keys=ctypes.addressof(keys),
            values=ctypes.addressof(values),
            map_fd=self._descriptor,
        )
        for _ in range(most + 1):
            batch.count = _BATCH
            try:
                bpf(_LOOKUP_AND_DELETE_BATCH, batch)
                over = False
            except FileNotFoundError:
                over = True
            yield from zip(
                self._key.iter_unpack(memoryview(keys)[: batch.count * self._key.size]),
                self._value.iter_unpack(memoryview(values)[: batch.count * self._value.size]),
                strict=True,
            )
            if over:
                return
            batch.in_batch = ctypes.addressof(position)

    def _call(self, command: int, key: bytes, value: ctypes.Array[ctypes.c_char]) -> None:
        held = ctypes.create_string_buffer(key, len(key))
        attribute = _Attribute(map_fd=self._descriptor, key=ctypes.addressof(held), value=ctypes.addressof(value))
        bpf(command, attribute)


def processors(path: Path = _POSSIBLE) -> int:
    """Return how many values an element of a per-CPU map has: one for each processor that there could be."""
    return int(path.read_text().strip().rpartition("-")[2]) + 1


def summed(value: Sequence[int], *, members: int) -> list[int]:
    """Return what all processors counted together.

    Args:
        value: of an element of a per-CPU map, a struct of counters; empty counts as zeros.
        members: how many counters the struct has.
    """
    return [sum(value[member::members]) for member in range(members)]
