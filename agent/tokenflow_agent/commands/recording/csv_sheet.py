"""Sheets as CSV (RFC 4180, with a header): each window is on the disk as soon as it is added."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenflow_agent.commands.recording.tables import Column, Kind, Value, columns, table_of
from tokenflow_agent.errors import RecordingError


class CsvWriter:
    """Writes a new sheet.

    Args:
        file: where; must not exist.
        table: what.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, file: Path, table: str) -> None:
        self._file = file.open("x", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(column.name for column in columns(table))

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        """Write rows; an unknown value is an empty cell."""
        self._rows.writerows(rows)
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()


def table_in(file: Path) -> str | None:
    """Return the table that a sheet holds; ``None`` where it holds none."""
    with file.open(encoding="utf-8", newline="") as lines:
        return table_of(next(csv.reader(lines), []))


def read(file: Path, table: str) -> Iterator[tuple[Value, ...]]:
    """Yield the rows of a table's sheet.

    Raises:
        RecordingError: a line is no row of this table.
    """
    its_columns = columns(table)
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        for cells in reader:
            try:
                yield tuple(_value(cell, column) for cell, column in zip(cells, its_columns, strict=True))
            except ValueError as error:
                raise RecordingError(f"{file} line {reader.line_num}: {error}: mend or remove the line") from error


def _value(cell: str, column: Column) -> Value:
    if column.kind is Kind.TEXT:
        return cell
    if not cell:
        return None
    return cell == str(True) if column.kind is Kind.FLAG else int(cell)
