"""A file of the spool: records one after the other, each with a checksum.

Records are numbered without end over all segments, with gaps where some were dropped before they were written. A
file is named by the number of its first record.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from tokenflow_agent.errors import CorruptError
from tokenflow_api.codec import MAX_ENCODED_BYTES

SUFFIX: Final = ".windows"
_HEADER: Final = Struct(">IIQQ")
"""Length of the document, CRC-32 of all that follows, number, Unix milliseconds."""
_SUMMED: Final = Struct(">QQ")
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Record:
    """A window that waits.

    Attributes:
        number: its place in the spool.
        at_unix_ms: when it was built, by this node's clock.
        document: the batch as it travels.
    """

    number: int
    at_unix_ms: int
    document: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes in the spool."""
        return _HEADER.size + len(self.document)


@dataclass(frozen=True, slots=True)
class Found:
    """A record in its file.

    Attributes:
        record: the record.
        offset: where it begins.
    """

    record: Record
    offset: int

    @property
    def end(self) -> int:
        """Offset of the next one."""
        return self.offset + self.record.size


class Segment:
    """One file.

    Args:
        path: where it is, or will be.
        first: number of its first record.
        end: number after its last record.
        size: bytes in it.
    """

    def __init__(self, path: Path, *, first: int, end: int, size: int) -> None:
        self.path = path
        self.first = first
        self.end = end
        self.size = size
        self._writer: int | None = None

    @classmethod
    def new(cls, directory: Path, *, first: int) -> "Segment":
        """Return a segment without records yet."""
        return cls(directory / f"{first:020d}{SUFFIX}", first=first, end=first, size=0)

    def append(self, record: Record) -> None:
        """Write a record.

        Raises:
            OSError: it was not written; the file is as before.
        """
        if self._writer is None:
            self._writer = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        framed = _HEADER.pack(len(record.document), _checksum(record), record.number, record.at_unix_ms)
        framed += record.document
        try:
            left = memoryview(framed)
            while left:
                left = left[os.write(self._writer, left) :]
        except OSError:
            os.ftruncate(self._writer, self.size)
            raise
        self.size += len(framed)
        self.end = record.number + 1

    def find(self, number: int, *, start: int = 0) -> "Found | None":
        """Return the first record from offset ``start`` on with at least this number.

        Raises:
            CorruptError: what stands on the way is no record.
            OSError: the file cannot be read.
        """
        return next((found for found in self.records(start=start) if found.record.number >= number), None)

    def records(self, *, start: int = 0) -> Iterator["Found"]:
        """Yield all records from offset ``start`` on.

        Raises:
            CorruptError: what comes next is no record.
            OSError: the file cannot be read.
        """
        reader = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while start < self.size:
                found = self._read(reader, start)
                yield found
                start = found.end
        finally:
            os.close(reader)

    def cut(self, offset: int) -> None:
        """Forget what comes after ``offset``."""
        os.truncate(self.path, offset)
        self.size = offset

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None

    def delete(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _read(self, reader: int, offset: int) -> Found:
        head = os.pread(reader, _HEADER.size, offset)
        if len(head) < _HEADER.size:
            raise CorruptError(f"{self.path} ends within a record at {offset}")
        length, checksum, number, at_unix_ms = _HEADER.unpack(head)
        if length > MAX_ENCODED_BYTES:
            raise CorruptError(f"{self.path} has no record at {offset}")
        record = Record(number, at_unix_ms, os.pread(reader, length, offset + _HEADER.size))
        if len(record.document) < length or _checksum(record) != checksum:
            raise CorruptError(f"{self.path} has a damaged record at {offset}")
        return Found(record, offset)


def recovered(path: Path, *, first: int) -> tuple[Segment, bool]:
    """Return the last segment as a former process left it, and whether a torn record was cut off its end.

    Raises:
        OSError: it cannot be read or cut.
    """
    segment = Segment(path, first=first, end=first, size=path.stat().st_size)
    whole = 0
    try:
        for found in segment.records():
            whole, segment.end = found.end, found.record.number + 1
    except CorruptError:
        segment.cut(whole)
        return segment, True
    return segment, False


def _checksum(record: Record) -> int:
    return zlib.crc32(record.document, zlib.crc32(_SUMMED.pack(record.number, record.at_unix_ms)))
