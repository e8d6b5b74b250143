"""Sheets as Parquet: typed and small, but whole only once they are closed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tokenflow_agent.commands.recording.tables import Kind, Value, columns, table_of
from tokenflow_agent.errors import UsageError

_GROUP_ROWS: Final = 8192
"""Rows that are held in memory before they are written."""


class ParquetWriter:
    """Writes a new sheet.

    Args:
        file: where.
        table: what.

    Raises:
        UsageError: pyarrow is not installed.
        OSError: it cannot be created.
    """

    def __init__(self, file: Path, table: str) -> None:
        arrow = _arrow()
        types = {Kind.COUNT: arrow.int64(), Kind.TEXT: arrow.string(), Kind.FLAG: arrow.bool_()}
        self._schema = arrow.schema([(column.name, types[column.kind]) for column in columns(table)])
        self._file = arrow.parquet.ParquetWriter(file, self._schema)
        self._rows: list[Sequence[Value]] = []

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        """Write rows, many at a time."""
        self._rows += rows
        if len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left, and end the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            its_columns = [list(column) for column in zip(*self._rows, strict=True)]
            self._file.write_table(_arrow().table(its_columns, schema=self._schema))
            self._rows = []


def table_in(file: Path) -> str | None:
    """Return the table that a sheet holds; ``None`` where it holds none.

    Raises:
        UsageError: pyarrow is not installed.
    """
    return table_of(_arrow().parquet.read_schema(file).names)


def read(file: Path, table: str) -> Iterator[tuple[Value, ...]]:
    """Yield the rows of a table's sheet."""
    names = [column.name for column in columns(table)]
    with _arrow().parquet.ParquetFile(file) as sheet:
        for group in sheet.iter_batches(batch_size=_GROUP_ROWS, columns=names):
            yield from zip(*(column.to_pylist() for column in group.columns), strict=True)


def _arrow() -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415 - large, and only Parquet needs it
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow: run 'pip install pyarrow', or name a file that ends in .csv"
        ) from error
    return pyarrow
