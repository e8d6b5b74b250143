"""What a figure is, before it is written as Prometheus, OpenMetrics or OTLP."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How a figure moves."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """A name and its meaning.

    Attributes:
        name: without the ``_total`` that a counter is exported with.
        kind: how it moves.
        words: what it tells, in one sentence.
    """

    name: str
    kind: Kind
    words: str


def counter(name: str, words: str) -> Metric:
    """Return a metric that only grows; ``name`` goes without ``_total``."""
    return Metric(name, Kind.COUNTER, words)


def gauge(name: str, words: str) -> Metric:
    """Return a metric that goes up and down."""
    return Metric(name, Kind.GAUGE, words)


class Labels:
    """The labels of a series, and their text in both exposition formats, made once.

    Args:
        names: of the labels.
        values: theirs, in the same order; what is no text is written as JSON would.

    Attributes:
        text: ``name="value"``, joined by commas.
    """

    __slots__ = ("_names", "_values", "text")

    def __init__(self, names: Sequence[str], values: Sequence[object]) -> None:
        self._names = names
        self._values = values
        self.text = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.pairs())

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield names and values."""
        return zip(self._names, map(_written, self._values), strict=True)


@dataclass(frozen=True, slots=True)
class Trace:
    """One traced request that a counter counted.

    Attributes:
        trace_id: 32 hexadecimal digits.
        value: how long it took, in microseconds.
        at_s: when, in Unix seconds.
    """

    trace_id: str
    value: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Point:
    """The value of one series.

    Attributes:
        labels: which series of the metric.
        value: now.
        since_s: when the series began to count, in Unix seconds; 0 for a gauge.
        trace: an exemplar of what was counted.
    """

    labels: Labels
    value: float
    since_s: float = 0.0
    trace: Trace | None = None


Family = tuple[Metric, Iterable[Point]]


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


NO_LABELS: Final = Labels((), ())
"""Of a metric that is one series."""
