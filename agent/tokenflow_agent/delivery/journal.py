"""The spool's files: bounded, in order, held by one process."""

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenflow_agent.delivery.segment import SUFFIX, Record, Segment, recovered
from tokenflow_agent.errors import SpoolError

_SEGMENTS: Final = 16
"""Files that a full spool has about: dropping the oldest costs a sixteenth of it."""
_MOST_SEGMENT_BYTES: Final = 4 << 20
_CURSORS: Final = "cursors.json"
_LOCK: Final = "lock"
_GONE: Final = (errno.ENOENT, errno.EIO)
"""What reading a file ends with that somebody removed, or whose blocks the device lost."""
_REASONS: Final = {
    errno.ENOSPC: "DiskFull",
    errno.EDQUOT: "DiskFull",
    errno.EROFS: "DiskReadOnly",
    errno.EACCES: "DiskDenied",
    errno.EPERM: "DiskDenied",
}
_REMEDIES: Final = {
    "DiskFull": "free space on the node, or lower spec.spool.maxSize",
    "DiskReadOnly": "mount a writable directory there, or name one by --spool-dir",
    "DiskDenied": "let the agent's user write there, or name another directory by --spool-dir",
    "DiskFailed": "look at the node's disk, or name another directory by --spool-dir",
}


@dataclass(slots=True)
class Cursor:
    """How far a destination has come.

    Attributes:
        number: of the next record that it gets.
        segment: first number of the file that it reads; -1 before it reads any.
        offset: from where on its record is looked for in that file.
    """

    number: int
    segment: int = -1
    offset: int = 0


class Journal:
    """Records on the disk.

    Nothing is flushed to the device: a power loss may cost what the kernel had not written yet, 30 s or so, while a
    killed process loses nothing that was appended.

    Args:
        directory: made where it is missing.

    Attributes:
        saved: cursors of the former process; ``None`` where it left none that can be read.
        torn: whether a record was cut off that no number tells of.

    Raises:
        SpoolError: it cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(directory, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.saved = _saved(directory)
            self._segments, torn = _segments(directory)
        except BlockingIOError as error:
            os.close(self._lock)
            raise SpoolError("SpoolTaken", f"{directory} is held by another agent: give each its own") from error
        except OSError as error:
            os.close(self._lock)
            raise _unusable(directory, error) from error
        written = max([segment.end for segment in self._segments], default=0)
        self._next = max([written, *(self.saved or {}).values()])
        self.torn = torn and self._next == written
        self._written = self.saved

    @property
    def first(self) -> int:
        """Number of the oldest record."""
        return self._segments[0].first if self._segments else self._next

    @property
    def end(self) -> int:
        """Number after the newest record."""
        return self._next

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.size for segment in self._segments)

    def append(self, record: Record, *, most_bytes: int) -> None:
        """Write a record; the oldest files make room where there would be more than ``most_bytes``.

        Raises:
            SpoolError: the disk did not take it.
        """
        self.trim(most_bytes - record.size)
        last = self._segments[-1] if self._segments else None
        most_segment_bytes = min(most_bytes // _SEGMENTS, _MOST_SEGMENT_BYTES)
        if last is None or (last.size and last.size + record.size > most_segment_bytes):
            if last is not None:
                last.close()
            last = Segment.new(self._directory, first=record.number)
            self._segments.append(last)
        try:
            last.append(record)
        except OSError as error:
            raise _unusable(self._directory, error) from error
        self._next = record.number + 1

    def trim(self, most_bytes: int) -> None:
        """Drop the oldest files until there are at most so many bytes.

        Raises:
            SpoolError: the disk does not let them go.
        """
        while self._segments and self.size > most_bytes:
            self._remove_oldest()

    def release(self, number: int) -> None:
        """Remove the files all of whose records come before ``number``.

        Raises:
            SpoolError: the disk does not let them go.
        """
        while self._segments and self._segments[0].end <= number:
            self._remove_oldest()

    def read(self, cursor: Cursor) -> Record | None:
        """Return the first whole record at or after ``cursor``, and move the cursor to it.

        ``None`` where there is none: the cursor stands behind the newest.

        Raises:
            SpoolError: the disk cannot be read.
        """
        for segment in self._segments:
            if segment.end <= cursor.number:
                continue
            if cursor.segment != segment.first:
                cursor.segment, cursor.offset = segment.first, 0
            try:
                found = segment.find(cursor.number, start=cursor.offset)
            except OSError as error:
                if error.errno not in _GONE:
                    raise _unusable(self._directory, error) from error
                found = None
            if found is not None:
                cursor.number, cursor.offset = found.record.number, found.offset
                return found.record
            cursor.number, cursor.offset = segment.end, segment.size
        cursor.number = max(cursor.number, self._next)
        return None

    def save(self, cursors: Mapping[str, Cursor]) -> None:
        """Keep how far each destination has come.

        Raises:
            SpoolError: the disk did not take it.
        """
        numbers = {name: cursor.number for name, cursor in cursors.items()}
        if numbers == self._written:
            return
        draft = self._directory / f"{_CURSORS}.new"
        try:
            draft.write_text(json.dumps(numbers))
            draft.replace(self._directory / _CURSORS)
        except OSError as error:
            raise _unusable(self._directory, error) from error
        self._written = numbers

    def close(self) -> None:
        """Let go of the directory."""
        for segment in self._segments:
            segment.close()
        os.close(self._lock)

    def _remove_oldest(self) -> None:
        try:
            self._segments[0].delete()
        except OSError as error:
            raise _unusable(self._directory, error) from error
        del self._segments[0]


def _segments(directory: Path) -> tuple[list[Segment], bool]:
    """Return the files of a former process in order, and whether the end of the last one was torn.

    Only the last one is read: the others end where their successor begins.
    """
    paths = sorted(path for path in directory.glob(f"*{SUFFIX}") if path.name.removesuffix(SUFFIX).isdigit())
    if not paths:
        return [], False
    firsts = [int(path.name.removesuffix(SUFFIX)) for path in paths]
    closed = [
        Segment(path, first=first, end=end, size=path.stat().st_size)
        for path, first, end in zip(paths, firsts, firsts[1:], strict=False)
    ]
    last, torn = recovered(paths[-1], first=firsts[-1])
    if last.size:
        return [*closed, last], torn
    last.delete()
    return closed, torn


def _saved(directory: Path) -> dict[str, int] | None:
    try:
        document = json.loads((directory / _CURSORS).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    known = isinstance(document, dict) and all(isinstance(number, int) for number in document.values())
    return document if known else None


def _unusable(directory: Path, error: OSError) -> SpoolError:
    reason = _REASONS.get(error.errno or 0, "DiskFailed")
    words = f"{directory}: {error.strerror}: windows wait in memory alone"
    return SpoolError(reason, f"{words}: {_REMEDIES[reason]}")
