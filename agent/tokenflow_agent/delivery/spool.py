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
from tokenflow_agent.errors import CorruptError, SpoolError
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
        self._cursors: dict[str, Cursor] = {}
        self._dropped: dict[str, Counter[str]] = {}
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
            waiting={name: self._end - cursor.number for name, cursor in self._cursors.items()},
            dropped={name: dict(counts) for name, counts in self._dropped.items()},
        )

    def follow(self, names: AbstractSet[str], *, most_bytes: int) -> None:
        """Keep windows for these destinations, and for no others, in at most so many bytes of disk.

        A destination that is new gets windows from now on; one that a former process knew goes on from there.
        """
        self._most_bytes = most_bytes
        if self._journal is None and names:
            self._use_disk()
        for name in self._cursors.keys() - names:
            del self._cursors[name], self._dropped[name]
        for name in names - self._cursors.keys():
            self._dropped[name] = Counter()
            self._cursors[name] = self._resumed(name, otherwise=self._end)
        self._former = {}
        if self._journal is not None:
            self._try("trim", lambda journal: journal.trim(most_bytes))
            self._settle()
        self.commit()

    def append(self, document: bytes, *, at_unix_ms: int) -> None:
        """Keep a window for every destination."""
        if not self._cursors:
            return
        if len(document) > MAX_ENCODED_BYTES:
            _log.error("a window is too large to be delivered", extra={"bytes": len(document)})
            for counts in self._dropped.values():
                counts[TOO_LARGE] += 1
            return
        self._memory.append(Record(self._end, at_unix_ms, document))
        self._end += 1
        self._use_disk()
        excess = sum(record.size for record in self._memory) - MAX_MEMORY_BYTES
        while excess > 0:
            record = self._memory.popleft()
            excess -= record.size
            for name, cursor in self._cursors.items():
                if cursor.number <= record.number:
                    self._dropped[name][MEMORY_FULL] += 1

    def next(self, name: str) -> Record | None:
        """Return the oldest window that a destination has not acknowledged; ``None`` when it has all."""
        cursor = self._cursors.get(name)
        if cursor is None:
            return None
        try:
            record = self._on_disk(name, cursor)
        except SpoolError as error:
            self._note("read", error)
            return None
        self._note("read", None)
        if record is None:
            record = next((record for record in self._memory if record.number >= cursor.number), None)
        cursor.number = record.number if record else self._end
        return record

    def acknowledge(self, name: str, record: Record, *, dropped: str = "") -> None:
        """Note that a destination has ``record``, or will never get it for the reason ``dropped``."""
        cursor = self._cursors.get(name)
        if cursor is None or cursor.number != record.number:
            # Room was made meanwhile, and the window is counted as dropped.
            return
        cursor.number += 1
        if dropped:
            self._dropped[name][dropped] += 1

    def commit(self) -> None:
        """Let go of what every destination has, and keep on the disk how far each has come."""
        least = self._least()
        while self._memory and self._memory[0].number < least:
            self._memory.popleft()
        self._try("release", lambda journal: journal.release(least))
        self._try("save", lambda journal: journal.save(self._cursors))

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
                self._journal.append(self._memory[0], most_bytes=self._most_bytes)
                self._memory.popleft()
                self._settle()
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
        for name, cursor in self._cursors.items():
            self._cursors[name] = self._resumed(name, otherwise=cursor.number + shift)

    def _resumed(self, name: str, *, otherwise: int) -> Cursor:
        """Return from where a destination goes on: from the oldest, where a former process left no word of it."""
        if self._journal is None or (self._former is not None and name not in self._former):
            return Cursor(otherwise)
        if self._journal.torn:
            self._dropped[name][TORN] += 1
        return Cursor(self._journal.first if self._former is None else self._former[name])

    def _on_disk(self, name: str, cursor: Cursor) -> Record | None:
        while self._journal is not None:
            before = cursor.number
            try:
                return self._journal.read(cursor)
            except CorruptError as error:
                _log.warning("windows were damaged on the disk", extra={"policy": name, "reason": str(error)})
                self._dropped[name][DAMAGED] += cursor.number - before
        return None

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
        for name, cursor in self._cursors.items():
            if cursor.number < first:
                self._dropped[name][SPOOL_FULL] += first - cursor.number
                cursor.number = first

    def _least(self) -> int:
        return min((cursor.number for cursor in self._cursors.values()), default=self._end)
