"""What is in the sheets: columns, and rows of batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, get_args

from pydantic import ValidationError

from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.errors import RecordingError
from tokenflow_api.faults import first_fault
from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import Text

BATCHES: Final = "batches"
"""Name of the sheet that has the windows alone."""

Value = int | str | bool | None


class Kind(Enum):
    """What a column holds."""

    COUNT = "count"
    TEXT = "text"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet."""

    name: str
    kind: Kind


WINDOW: Final = (
    Column("schema", Kind.COUNT),
    Column("agent", Kind.TEXT),
    Column("node", Kind.TEXT),
    Column("boot_id", Kind.TEXT),
    Column("sequence", Kind.COUNT),
    Column("sent_at_unix_ms", Kind.COUNT),
    Column("window_ms", Kind.COUNT),
)
"""The first columns of every sheet: fields of the batch."""


def columns(table: str) -> tuple[Column, ...]:
    """Return the columns of a table's sheet."""
    return WINDOW if table == BATCHES else (*WINDOW, *_COLUMNS[table])


def table_of(names: Sequence[str]) -> str | None:
    """Return the table whose sheet has columns of these names; ``None`` where there is no such table."""
    return next((table for table in (BATCHES, *TABLES) if _names(columns(table)) == tuple(names)), None)


def rows(batch: TelemetryBatch, table: str) -> list[tuple[Value, ...]]:
    """Return the rows of a batch in a table's sheet."""
    document = batch.model_dump(mode="json")
    window = tuple(document[column.name] for column in WINDOW)
    if table == BATCHES:
        return [window]
    return [(*window, *row) for row in zip(*document[table].values(), strict=True)]


def batch_of(window: Sequence[Value], tables: Mapping[str, Sequence[Sequence[Value]]]) -> TelemetryBatch:
    """Return the batch of a window and of the rows that its tables have in the sheets.

    Raises:
        RecordingError: they make no batch.
    """
    document: dict[str, object] = dict(zip(_names(WINDOW), window, strict=True))
    for table, its_rows in tables.items():
        own = zip(*(row[len(WINDOW) :] for row in its_rows), strict=True)
        document[table] = dict(zip(_names(_COLUMNS[table]), (list(column) for column in own), strict=True))
    try:
        return TelemetryBatch.model_validate({"reporter": Reporter.AGENT, **document})
    except ValidationError as error:
        raise RecordingError(f"window {document['sequence']}: {first_fault(error)}") from error


def _names(of: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in of)


def _columns_of(table: str) -> Iterator[Column]:
    model = type(TelemetryBatch.model_fields[table].default)
    for name, field in model.model_fields.items():
        (entry,) = get_args(field.annotation)
        yield Column(name, _kind(entry))


def _kind(entry: object) -> Kind:
    if entry is bool:
        return Kind.FLAG
    enumerated = isinstance(entry, type) and issubclass(entry, str)
    return Kind.TEXT if enumerated or entry == Text else Kind.COUNT


_COLUMNS: Final = {table: tuple(_columns_of(table)) for table in TABLES}
