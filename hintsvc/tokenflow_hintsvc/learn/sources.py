"""Reads round-trip times from files: a table of one path, or what ``tokenflow-agent record`` writes."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tokenflow_hintsvc.learn.errors import DataError
from tokenflow_hintsvc.learn.series import Series, series

MAX_WINDOWS: Final = 5_000_000
"""In one file; further ones are refused rather than left out."""
_GROUP_ROWS: Final = 8192

_ONE_PATH: Final = ("timestamp", "avg_rtt_us")
_RECORDING: Final = (
    "node",
    "pod_namespace",
    "pod_name",
    "service_port",
    "destination_class",
    "direction",
    "start_unix_ms",
    "samples",
    "rtt_sum_us",
)

Row = Sequence[Any]


def read(file: Path) -> list[Series]:
    """Return the series in a file, in the order of their names.

    Raises:
        DataError: it cannot be read, or holds neither.
    """
    try:
        if file.suffix == ".csv":
            return _csv(file)
        if file.suffix == ".parquet":
            return _parquet(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError, TypeError) as error:
        raise DataError(f"{file} is no telemetry: {error}") from error
    raise DataError(f"{file} is no telemetry: its name ends neither in .csv nor in .parquet")


def _csv(file: Path) -> list[Series]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        names = next(rows, [])
        wanted = _columns(file, names)
        places = [names.index(name) for name in wanted]
        return _series(file, wanted, ([row[place] for place in places] for row in rows if len(row) == len(names)))


def _parquet(file: Path) -> list[Series]:
    try:
        import pyarrow.parquet  # noqa: PLC0415 - large, and only Parquet needs it
    except ImportError as error:
        raise DataError("Parquet needs pyarrow: run 'pip install pyarrow', or name a file that ends in .csv") from error
    with pyarrow.parquet.ParquetFile(file) as sheet:
        wanted = _columns(file, sheet.schema_arrow.names)
        groups = sheet.iter_batches(batch_size=_GROUP_ROWS, columns=list(wanted))
        rows = (row for group in groups for row in zip(*(group[name].to_pylist() for name in wanted), strict=True))
        return _series(file, wanted, rows)


def _columns(file: Path, names: Sequence[str]) -> tuple[str, ...]:
    for wanted in (_RECORDING, _ONE_PATH):
        if set(wanted) <= set(names):
            return wanted
    raise DataError(
        f"{file} has neither the columns {', '.join(_ONE_PATH)} of one path"
        " nor those of a recording of TCP windows: write one with 'tokenflow-agent record FILE'"
    )


def _series(file: Path, columns: tuple[str, ...], rows: Iterator[Row]) -> list[Series]:
    windows: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for count, row in enumerate(rows):
        if count == MAX_WINDOWS:
            raise DataError(f"{file} has more than {MAX_WINDOWS} windows: split it")
        if columns == _ONE_PATH:
            # The time is in seconds; finer windows stand in their order.
            windows[file.stem].append((int(float(row[0])) * 1000, float(row[1])))
        else:
            *socket, direction, start, samples, total = row
            if direction == "Served":
                mean_us = int(total) / int(samples) if int(samples) else 0.0
                windows["/".join(str(part) for part in socket)].append((int(start), mean_us))
    return [series(name, windows[name]) for name in sorted(windows)]
