"""Writes figures in the text formats of Prometheus 0.0.4 and OpenMetrics 1.0.0."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.export.model import Family, Kind, Point, Trace

_BLOCK_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Format:
    """A text format.

    Attributes:
        content_type: as HTTP names it.
        text: writes families.
    """

    content_type: str
    text: Callable[[Iterable[Family]], Iterator[str]]


def chosen(accept: str) -> Format:
    """Return the format for an ``Accept`` header: OpenMetrics for those who name it."""
    named = {part.partition(";")[0].strip() for part in accept.split(",")}
    return OPENMETRICS if "application/openmetrics-text" in named else PROMETHEUS


def blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """Yield the text in blocks of some 64 KiB, so that a whole exposition never stands in memory."""
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    if waiting:
        yield "".join(waiting).encode()


def _prometheus(families: Iterable[Family]) -> Iterator[str]:
    for metric, points in families:
        name = f"{metric.name}_total" if metric.kind is Kind.COUNTER else metric.name
        head = f"# HELP {name} {metric.words}\n# TYPE {name} {metric.kind}\n"
        for point in points:
            yield f"{head}{_sample(name, point)}\n"
            head = ""


def _openmetrics(families: Iterable[Family]) -> Iterator[str]:
    for metric, points in families:
        name = f"{metric.name}_total" if metric.kind is Kind.COUNTER else metric.name
        head = f"# HELP {metric.name} {metric.words}\n# TYPE {metric.name} {metric.kind}\n"
        for point in points:
            yield f"{head}{_sample(name, point)}{_exemplar(point.trace)}\n"
            head = ""
    yield "# EOF\n"


def _sample(name: str, point: Point) -> str:
    return f"{name}{{{point.labels.text}}} {point.value}" if point.labels.text else f"{name} {point.value}"


def _exemplar(trace: Trace | None) -> str:
    return f' # {{trace_id="{trace.trace_id}"}} {trace.value} {trace.at_s:.3f}' if trace else ""


PROMETHEUS: Final = Format("text/plain; version=0.0.4; charset=utf-8", _prometheus)
OPENMETRICS: Final = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", _openmetrics)
