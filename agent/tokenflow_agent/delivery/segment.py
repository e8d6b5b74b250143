"""A file of the spool: records one after the other, each with a checksum.

Records are numbered without end and without gaps over all segments: a number that is missing is a record that was
damaged. A file is named by the number of its first record.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

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
            self._writer = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
        framed = _HEADER.pack(len(record.document), _checksum(record), record.number, record.at_unix_ms)
        framed += record.document
        try:
            written = 0
            while written < len(framed):
                written += os.pwrite(self._writer, framed[written:], self.size + written)
        except OSError:
            os.ftruncate(self._writer, self.size)
            raise
        self.size += len(framed)
        self.end = record.number + 1

    def find(self, number: int, *, start: int = 0) -> "Found | None":
        """Return the first record from offset ``start`` on with at least this number.

        Raises:
            OSError: the file cannot be read.
        """
        return next((found for found in self.records(start=start) if found.record.number >= number), None)

    def records(self, *, start: int = 0) -> Iterator["Found"]:
        """Yield the records from offset ``start`` on; not those that are damaged, and none behind a torn one.

        Raises:
            OSError: the file cannot be read.
        """
        reader = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while start < self.size:
                head = os.pread(reader, _HEADER.size, start)
                if len(head) < _HEADER.size:
                    return
                length, checksum, number, at_unix_ms = _HEADER.unpack(head)
                if not 0 < length <= MAX_ENCODED_BYTES:
                    return
                record = Record(number, at_unix_ms, os.pread(reader, length, start + _HEADER.size))
                if len(record.document) < length:
                    return
                if _checksum(record) == checksum:
                    yield Found(record, start)
                start += record.size
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


def recovered(path: Path, *, first: int) -> tuple[Segment, bool]:
    """Return the last segment as a former process left it, and whether a torn record was cut off its end.

    Raises:
        OSError: it cannot be read or cut.
    """
    segment = Segment(path, first=first, end=first, size=path.stat().st_size)
    whole = 0
    for found in segment.records():
        whole, segment.end = found.end, found.record.number + 1
    if whole == segment.size:
        return segment, False
    segment.cut(whole)
    return segment, True


def _checksum(record: Record) -> int:
    return zlib.crc32(record.document, zlib.crc32(_SUMMED.pack(record.number, record.at_unix_ms)))
