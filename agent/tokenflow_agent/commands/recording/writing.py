"""Puts windows into a new recording."""

from collections.abc import Mapping
from pathlib import Path

from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.recording.formats import CSV, FORMATS, Writer
from tokenflow_agent.commands.recording.tables import BATCHES, rows
from tokenflow_agent.errors import RecordingError, UsageError
from tokenflow_api.telemetry import TelemetryBatch


class Recording:
    """A recording that grows.

    Args:
        sheets: what takes the rows, by table; the windows come first.

    Attributes:
        windows: how many were added.
        rows: how many rows of their tables are in it.
    """

    def __init__(self, sheets: Mapping[str, Writer]) -> None:
        self._sheets = sheets
        self.windows = 0
        self.rows = 0

    def add(self, batch: TelemetryBatch) -> None:
        """Add a window.

        Raises:
            RecordingError: it cannot be written.
        """
        try:
            for table, sheet in self._sheets.items():
                new = rows(batch, table)
                sheet.add(new)
                self.rows += len(new) if table != BATCHES else 0
        except OSError as error:
            raise RecordingError(
                f"the window cannot be written: {error.strerror}: make room, or record less"
            ) from error
        self.windows += 1

    def close(self) -> None:
        """End it."""
        for sheet in self._sheets.values():
            sheet.close()


def create(path: Path, *, table: str | None) -> Recording:
    """Return a new recording.

    Args:
        path: a file of one table where the ending names a format; else a directory of all.
        table: which one the file takes; by default ``tcp``.

    Raises:
        UsageError: there is something already, or a directory was given a table.
        RecordingError: it cannot be created.
    """
    known = FORMATS.get(path.suffix)
    if known is None and table is not None:
        raise UsageError(f"{path} is a directory for all tables: name a file that ends in {' or '.join(FORMATS)}")
    if path.exists():
        raise UsageError(f"{path} is there already: remove it, or name another")
    try:
        if known is not None:
            one = table or "tcp"
            return Recording({one: known.create(path, one)})
        path.mkdir(parents=True)
        return Recording({each: CSV.create(path / f"{each}.csv", each) for each in (BATCHES, *TABLES)})
    except OSError as error:
        raise RecordingError(f"{path} cannot be created: {error.strerror}") from error
