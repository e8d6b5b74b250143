"""What a figure is, before it is written as Prometheus, OpenMetrics or OTLP."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


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

    Attributes:
        pairs: names and values.
        text: ``name="value"``, joined by commas.
    """

    __slots__ = ("pairs", "text")

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self.text = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.pairs)


NO_LABELS = Labels(())


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


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
