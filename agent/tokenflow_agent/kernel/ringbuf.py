"""Reads a BPF ring buffer by its file descriptor.

The layout is that of the kernel's Documentation/bpf/ringbuf.rst: a page with the consumer's position, a page with
the producer's, and the data. It could be mapped twice in a row, so that no record is broken at its end; mapped once it
takes half of the memory that counts as this process's.
"""

import mmap
import struct
from collections.abc import Iterator
from typing import Final, Self

from tokenflow_agent.errors import KernelError

_HEADER: Final = struct.Struct("=II")
_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_ALIGNMENT: Final = 8


class RingBuffer:
    """A ring buffer of the kernel's, of which this is the only reader.

    Args:
        descriptor: its file descriptor, which stays its owner's.
        size: bytes of its data; a power of two and of whole pages.

    Raises:
        KernelError: the kernel refused to map it.
    """

    def __init__(self, descriptor: int, *, size: int) -> None:
        self._mask = size - 1
        page = mmap.PAGESIZE
        try:
            self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            try:
                self._data = mmap.mmap(descriptor, page + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
            except OSError:
                self._consumer.close()
                raise
        except OSError as error:
            raise KernelError("RingUnmapped", f"the ring buffer cannot be mapped: {error.strerror}") from error
        self._start = page
        # Positions are read and written in one piece, as the kernel wants it.
        self._consumed = memoryview(self._consumer).cast("Q")
        self._produced = memoryview(self._data)[:page].cast("Q")

    def read(self, *, most: int) -> Iterator[bytes]:
        """Yield the records that are there, the oldest first, at most ``most``; each is gone once yielded."""
        position = self._consumed[0]
        for _ in range(most):
            if position >= self._produced[0]:
                return
            at = self._start + (position & self._mask)
            length, _ = _HEADER.unpack_from(self._data, at)
            if length & _BUSY:
                return
            size = length & ~_DISCARDED
            record = None if length & _DISCARDED else self._bytes(position + _HEADER.size, size)
            position += -(-(size + _HEADER.size) // _ALIGNMENT) * _ALIGNMENT
            self._consumed[0] = position
            if record is not None:
                yield record

    def _bytes(self, position: int, size: int) -> bytes:
        begin = position & self._mask
        beyond = max(0, begin + size - self._mask - 1)
        tail = self._data[self._start + begin : self._start + begin + size - beyond]
        return tail + self._data[self._start : self._start + beyond] if beyond else tail

    @property
    def usage_percent(self) -> float:
        """How full it is."""
        return 100.0 * (self._produced[0] - self._consumed[0]) / (self._mask + 1)

    def close(self) -> None:
        """Unmap it."""
        self._consumed.release()
        self._produced.release()
        self._consumer.close()
        self._data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
