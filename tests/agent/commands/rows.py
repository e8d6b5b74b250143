"""Tables with rows that a test needs, and with any rows there can be."""

from typing import Any, get_args

from hypothesis import strategies as st

from tests.agent.commands.support import batch
from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.recording import tables
from tokenflow_agent.commands.recording.tables import Kind
from tokenflow_api.telemetry import TelemetryBatch

GPU_PROCESSES = {
    "uuid": ["GPU-1"],
    "pod_namespace": ["llm"],
    "pod_name": ["vllm-0"],
    "pod_uid": ["u"],
    "memory_used_bytes": [1024],
}
COUNTS = st.integers(0, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ENUMERATIONS = {
    "direction": st.sampled_from(["Served", "Dialed"]),
    "protocol": st.sampled_from(["HTTP1", "HTTP2", "GRPC"]),
    "system": st.sampled_from(["postgresql", "mysql"]),
}


def column(table: str, of: tables.Column) -> st.SearchStrategy[Any]:
    if of.name in ENUMERATIONS:
        return ENUMERATIONS[of.name]
    if of.name.endswith("_unix_ms"):
        return st.integers(0, 2**45)
    (entry,) = get_args(type(TelemetryBatch.model_fields[table].default).model_fields[of.name].annotation)
    known = {Kind.COUNT: COUNTS, Kind.TEXT: TEXTS, Kind.FLAG: st.booleans()}[of.kind]
    return st.none() | known if type(None) in get_args(entry) else known


@st.composite
def documents(draw: st.DrawFn, table: str) -> dict[str, list[Any]]:
    count = draw(st.integers(0, 3))
    own = tables.columns(table)[len(tables.WINDOW) :]
    return {of.name: draw(st.lists(column(table, of), min_size=count, max_size=count)) for of in own}


@st.composite
def recordings(draw: st.DrawFn) -> list[TelemetryBatch]:
    return [
        batch(sequence, **{table: draw(documents(table)) for table in TABLES})
        for sequence in range(1, draw(st.integers(1, 4)))
    ]


def rows(table: str, *given_: dict[str, Any]) -> dict[str, list[Any]]:
    """Return a table whose rows have the given values, and zeros and empty words elsewhere."""
    fixed = {"direction": "Served", "protocol": "HTTP1", "system": "mysql", "pod_namespace": "llm", "pod_name": "p"}
    zero = {tables.Kind.COUNT: 0, tables.Kind.TEXT: "", tables.Kind.FLAG: False}
    columns = tables.columns(table)[len(tables.WINDOW) :]
    return {
        column.name: [row.get(column.name, fixed.get(column.name, zero[column.kind])) for row in given_]
        for column in columns
    }
