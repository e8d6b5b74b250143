"""Which formats a sheet may have, by the ending of its name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tokenflow_agent.commands.recording import csv_sheet, parquet_sheet
from tokenflow_agent.commands.recording.tables import Value


class Writer(Protocol):
    """A sheet that is being written."""

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        """Write rows."""

    def close(self) -> None:
        """End the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A way to keep a sheet in a file.

    Attributes:
        create: opens a new file for a table.
        table_in: tells which table a file holds.
        read: yields the rows of a file that holds a table.
    """

    create: Callable[[Path, str], Writer]
    table_in: Callable[[Path], str | None]
    read: Callable[[Path, str], Iterator[tuple[Value, ...]]]


CSV: Final = Format(create=csv_sheet.CsvWriter, table_in=csv_sheet.table_in, read=csv_sheet.read)
PARQUET: Final = Format(create=parquet_sheet.ParquetWriter, table_in=parquet_sheet.table_in, read=parquet_sheet.read)
FORMATS: Final[Mapping[str, Format]] = {".csv": CSV, ".parquet": PARQUET}
