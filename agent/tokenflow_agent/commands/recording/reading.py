"""Reads a recording, one window at a time."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.recording.formats import CSV, FORMATS
from tokenflow_agent.commands.recording.tables import BATCHES, WINDOW, Value, batch_of
from tokenflow_agent.errors import RecordingError, UsageError
from tokenflow_api.telemetry import TelemetryBatch

Row = tuple[Value, ...]


def read(path: Path) -> Iterator[TelemetryBatch]:
    """Yield the windows in their order. Only one is in memory at a time.

    Raises:
        UsageError: it is of a format that cannot be read here.
        RecordingError: it is no recording, or is damaged.
    """
    try:
        yield from _directory(path) if path.is_dir() else _file(path)
    except OSError as error:
        raise RecordingError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise RecordingError(f"{path} is no recording: {error}") from error


def _file(path: Path) -> Iterator[TelemetryBatch]:
    known = FORMATS.get(path.suffix)
    if known is None:
        raise UsageError(f"{path} is no recording: its name ends neither in {' nor in '.join(FORMATS)}")
    table = known.table_in(path)
    if table is None:
        raise RecordingError(f"{path} is no recording of this version: its columns are those of no table")
    for window, its_rows in _by_window(known.read(path, table)):
        yield batch_of(window, {} if table == BATCHES else {table: its_rows})


def _directory(path: Path) -> Iterator[TelemetryBatch]:
    waiting = {table: _Sheet(path / f"{table}.csv", table) for table in TABLES if (path / f"{table}.csv").exists()}
    for window, _ in _by_window(CSV.read(path / f"{BATCHES}.csv", BATCHES)):
        yield batch_of(
            window, {table: its_rows for table, sheet in waiting.items() if (its_rows := sheet.take(window))}
        )
    for sheet in waiting.values():
        sheet.expect_end()


class _Sheet:
    """A table's rows, window after window."""

    def __init__(self, file: Path, table: str) -> None:
        self._file = file
        self._windows = _by_window(CSV.read(file, table))
        self._next = next(self._windows, None)

    def take(self, window: Row) -> list[Row]:
        """Return the rows of ``window`` where they are the next ones."""
        if self._next is None or self._next[0] != window:
            return []
        found = self._next[1]
        self._next = next(self._windows, None)
        return found

    def expect_end(self) -> None:
        """Make sure that all rows were taken.

        Raises:
            RecordingError: some were not.
        """
        if self._next is not None:
            named = dict(zip((column.name for column in WINDOW), self._next[0], strict=True))
            raise RecordingError(
                f"{self._file} has rows of window {named['sequence']}, which {BATCHES}.csv lacks at that place"
            )


def _by_window(rows: Iterator[Row]) -> Iterator[tuple[Row, list[Row]]]:
    for window, its_rows in groupby(rows, key=lambda row: row[: len(WINDOW)]):
        yield window, list(its_rows)
