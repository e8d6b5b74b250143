"""Where windows wait until every destination has them: on the disk, or in memory while the disk takes none."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tokenflow_agent.delivery.journal import Cursor, Journal
from tokenflow_agent.delivery.segment import Record
from tokenflow_agent.delivery.state import SpoolState
from tokenflow_agent.errors import SpoolError
from tokenflow_api.codec import MAX_ENCODED_BYTES

_log = logging.getLogger(__name__)

MAX_MEMORY_BYTES: Final = 1 << 20
"""Windows held in memory while the disk takes none; beyond it the oldest of them are dropped, and counted."""

SPOOL_FULL: Final = "SpoolFull"
MEMORY_FULL: Final = "MemoryFull"
DAMAGED: Final = "Damaged"
TORN: Final = "Torn"
TOO_LARGE: Final = "TooLarge"


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What waits.

    Attributes:
        state: how much, and where.
        waiting: windows that a destination has not acknowledged, by its name.
        dropped: windows that a destination never gets, by its name and by reason.
    """

    state: SpoolState = field(default_factory=SpoolState)
    waiting: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    """A destination: how far it has come, and what it never gets.

    Attributes:
        cursor: of the next window that it gets.
        dropped: windows that it never gets, by reason.
        handed: the window at the cursor, once it was given out.
    """

    cursor: Cursor
    dropped: Counter[str] = field(default_factory=Counter)
    handed: Record | None = None

    def skip(self, number: int, *, reason: str) -> None:
        """Go on with ``number``; what is passed over is dropped."""
        if number > self.cursor.number:
            self.dropped[reason] += number - self.cursor.number
            self.cursor.number, self.handed = number, None


class Spool:
    """One queue for all destinations, each of which reads it by a cursor of its own.

    What a killed process had appended is there for the next one; the window that was being built is not. Only one
    thread may use it at a time.

    Args:
        directory: for the files. Where it cannot be used, it is tried again with each window.
        open_journal: opens it.
    """

    def __init__(self, directory: Path, *, open_journal: Callable[[Path], Journal] = Journal) -> None:
        self._directory = directory
        self._open_journal = open_journal
        self._journal: Journal | None = None
        self._readers: dict[str, _Reader] = {}
        self._memory: deque[Record] = deque()
        self._end = 0
        self._most_bytes = 0
        self._former: Mapping[str, int] | None = {}
        self._problems: dict[str, SpoolError] = {}

    def content(self) -> Content:
        """Return what waits now."""
        problem = next(iter(self._problems.values()), None)
        return Content(
            state=SpoolState(
                disk_bytes=self._journal.size if self._journal else 0,
                memory_bytes=sum(record.size for record in self._memory),
                reason=problem.reason if problem else "",
                message=str(problem) if problem else "",
            ),
            waiting={name: self._end - reader.cursor.number for name, reader in self._readers.items()},
            dropped={name: dict(reader.dropped) for name, reader in self._readers.items()},
        )

    def follow(self, names: AbstractSet[str], *, most_bytes: int) -> None:
        """Keep windows for these destinations, and for no others, in at most so many bytes of disk.

        A destination that is new gets windows from now on; one that a former process knew goes on from there.
        """
        self._most_bytes = most_bytes
        if self._journal is None and names:
            self._use_disk()
        for name in self._readers.keys() - names:
            del self._readers[name]
        for name in names - self._readers.keys():
            self._readers[name] = _Reader(Cursor(self._end))
            self._resume(name)
        self._former = {}
        if self._journal is not None:
            self._try("trim", lambda journal: journal.trim(most_bytes))
            self._settle()
        self.commit()

    def append(self, document: bytes, *, at_unix_ms: int) -> None:
        """Keep a window for every destination."""
        if not self._readers:
            return
        if len(document) > MAX_ENCODED_BYTES:
            _log.error("a window is too large to be delivered", extra={"bytes": len(document)})
            for reader in self._readers.values():
                reader.dropped[TOO_LARGE] += 1
            return
        self._memory.append(Record(self._end, at_unix_ms, document))
        self._end += 1
        self._use_disk()
        # What a former process knew of others than these is let go of by the next commit.
        self._former = {}
        while sum(record.size for record in self._memory) > MAX_MEMORY_BYTES:
            self._drop_from_memory()

    def next(self, name: str) -> Record | None:
        """Return the oldest window that a destination has not acknowledged; ``None`` when it has all."""
        reader = self._readers.get(name)
        if reader is None:
            return None
        try:
            record = self._on_disk(name, reader)
        except SpoolError as error:
            self._note("read", error)
            return None
        self._note("read", None)
        if record is None:
            record = next((record for record in self._memory if record.number >= reader.cursor.number), None)
        reader.handed = record
        return record

    def acknowledge(self, name: str, record: Record, *, dropped: str = "") -> None:
        """Note that a destination has ``record``, or will never get it for the reason ``dropped``."""
        reader = self._readers.get(name)
        if reader is None or reader.handed is not record:
            # Room was made meanwhile, and the window is counted as dropped.
            return
        reader.cursor.number += 1
        reader.handed = None
        if dropped:
            reader.dropped[dropped] += 1

    def commit(self) -> None:
        """Let go of what every destination has, and keep on the disk how far each has come."""
        least = self._least()
        while self._memory and self._memory[0].number < least:
            self._memory.popleft()
        self._try("release", lambda journal: journal.release(least))
        self._try("save", lambda journal: journal.save({name: reader.cursor for name, reader in self._readers.items()}))

    def close(self) -> None:
        """Keep how far each destination has come, and let go of the directory."""
        self.commit()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _use_disk(self) -> None:
        """Bring what waits in memory to the disk, where it is usable."""
        try:
            if self._journal is None:
                self._adopt(self._open_journal(self._directory))
            while self._memory and self._journal is not None:
                try:
                    self._journal.append(self._memory[0], most_bytes=self._most_bytes)
                finally:
                    self._settle()
                self._memory.popleft()
        except SpoolError as error:
            self._note("append", error)
        else:
            self._note("append", None)

    def _adopt(self, journal: Journal) -> None:
        """Take over what a former process left: what waits in memory comes after it."""
        shift = journal.end - (self._memory[0].number if self._memory else self._end)
        self._memory = deque(replace(record, number=record.number + shift) for record in self._memory)
        self._end += shift
        self._journal, self._former = journal, journal.saved
        for name, reader in self._readers.items():
            reader.cursor.number += shift
            self._resume(name)

    def _resume(self, name: str) -> None:
        """Go on where the former process was: with the oldest, where it left no word of it."""
        if self._journal is None or (self._former is not None and name not in self._former):
            return
        reader = self._readers[name]
        if self._journal.torn:
            reader.dropped[TORN] += 1
        reader.cursor = Cursor(self._journal.first if self._former is None else self._former[name])
        reader.handed = None

    def _drop_from_memory(self) -> None:
        """Let go of the oldest window in memory; those after it move up, so that numbers have no gaps."""
        gone = self._memory.popleft()
        self._memory = deque(replace(record, number=record.number - 1) for record in self._memory)
        self._end -= 1
        for reader in self._readers.values():
            if reader.cursor.number > gone.number:
                reader.cursor.number -= 1
                continue
            reader.dropped[MEMORY_FULL] += 1
            if reader.cursor.number == gone.number:
                reader.handed = None

    def _on_disk(self, name: str, reader: _Reader) -> Record | None:
        if self._journal is None:
            return None
        place = replace(reader.cursor)
        record = self._journal.read(place)
        lost = place.number - reader.cursor.number
        if lost > 0:
            _log.warning("windows were damaged on the disk", extra={"policy": name, "windows": lost})
            reader.skip(place.number, reason=DAMAGED)
        reader.cursor = place
        return record

    def _try(self, what: str, action: Callable[[Journal], None]) -> None:
        if self._journal is None:
            return
        try:
            action(self._journal)
        except SpoolError as error:
            self._note(what, error)
        else:
            self._note(what, None)

    def _note(self, what: str, problem: SpoolError | None) -> None:
        """Remember whether ``what`` works: it is told until it does again."""
        known = self._problems.pop(what, None)
        if problem is not None:
            self._problems[what] = problem
            if known is None or known.reason != problem.reason:
                _log.warning(
                    "the spool fails", extra={"action": what, "reason": problem.reason, "detail": str(problem)}
                )
        elif known is not None:
            _log.info("the spool works again", extra={"action": what})

    def _settle(self) -> None:
        """Move the cursors whose windows were dropped to make room."""
        first = self._journal.first if self._journal else 0
        for reader in self._readers.values():
            reader.skip(first, reason=SPOOL_FULL)

    def _least(self) -> int:
        return min((reader.cursor.number for reader in self._readers.values()), default=self._end)
