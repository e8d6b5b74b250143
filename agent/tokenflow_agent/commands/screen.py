"""The pods as a table, in words that fit a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tokenflow_agent.commands.pods import PodRow
from tokenflow_api.telemetry import Signal, SignalState, TelemetryBatch

_UNKNOWN: Final = "-"
_FRAME: Final = 5
"""Lines of the screen that are not pods: headline, heading, and room for what is wrong."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of a pod.

    Attributes:
        name: what ``--sort`` calls it.
        heading: what stands above it.
        value: returns it; the rows with the largest come first.
        words: writes it.
    """

    name: str
    heading: str
    value: Callable[[PodRow], float | None]
    words: Callable[[PodRow], str]


def _figure(name: str, heading: str, value: Callable[[PodRow], float | None], words: Callable[[float], str]) -> Column:
    def write(row: PodRow) -> str:
        known = value(row)
        return _UNKNOWN if known is None else words(known)

    return Column(name, heading, value, write)


def duration(microseconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if microseconds < 1000:  # noqa: PLR2004 - a millisecond
        return f"{microseconds:.0f}µs"
    if microseconds < 1_000_000:  # noqa: PLR2004 - a second
        return f"{microseconds / 1000:.1f}ms"
    return f"{microseconds / 1_000_000:.2f}s"


def size(count: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{count / 2**20:.0f}MiB" if count < 2**30 else f"{count / 2**30:.1f}GiB"


def _backlog(row: PodRow) -> str:
    return _UNKNOWN if row.backlog is None else f"{row.backlog}/{row.backlog_limit}"


FIGURES: Final = (
    _figure("rtt50", "RTT-P50", lambda row: row.rtt_p50_us, duration),
    _figure("rtt95", "RTT-P95", lambda row: row.rtt_p95_us, duration),
    _figure("retrans", "RETRANS/S", lambda row: row.retransmits_per_second, lambda value: f"{value:.1f}"),
    Column("backlog", "BACKLOG", lambda row: row.backlog_ratio, _backlog),
    _figure("http95", "HTTP-P95", lambda row: row.http_p95_us, duration),
    _figure("errors", "ERRORS", lambda row: row.error_ratio, lambda value: f"{value:.1%}"),
    _figure("gpumem", "GPU-MEM", lambda row: row.gpu_memory_bytes, size),
    _figure("gpu", "GPU", lambda row: row.gpu_utilization_percent, lambda value: f"{value:.0f}%"),
)


def ordered(rows: Sequence[PodRow], by: str) -> list[PodRow]:
    """Return the rows by a figure, the largest first and the unknown last, or by ``pod``, their name."""
    named = sorted(rows, key=lambda row: (row.namespace, row.pod))
    column = next((column for column in FIGURES if column.name == by), None)
    if column is None:
        return named

    def rank(row: PodRow) -> tuple[bool, float]:
        value = column.value(row)
        return value is None, -(value or 0.0)

    return sorted(named, key=rank)


def picture(rows: Sequence[PodRow], *, last: TelemetryBatch | None, trouble: str, lines: int | None) -> RenderableType:
    """Return what is shown.

    Args:
        rows: the pods, in their order.
        last: the newest window.
        trouble: why there is no newer one; may be empty.
        lines: height of the terminal; ``None`` shows all pods.
    """
    signals = [] if last is None else [signal for signal in last.signals if signal.state is SignalState.DEGRADED]
    fit = len(rows) if lines is None else max(1, lines - _FRAME - len(signals))
    headline = f"{last.node}, pods: {len(rows)}" if last is not None else "no window yet"
    parts: list[RenderableType] = [Text(headline, style="bold"), _table(rows[:fit])]
    if len(rows) > fit:
        parts.append(Text(f"and {len(rows) - fit} more"))
    parts += [_line(_words(signal), "yellow") for signal in signals]
    if trouble:
        parts.append(_line(trouble, "red"))
    return Group(*parts)


def _table(rows: Sequence[PodRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("NAMESPACE", no_wrap=True)
    table.add_column("POD", no_wrap=True)
    for column in FIGURES:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for row in rows:
        # Text takes names as they are: rich would read brackets in a string as its own markup.
        table.add_row(Text(row.namespace), Text(row.pod), *(column.words(row) for column in FIGURES))
    return table


def _words(signal: Signal) -> str:
    way = f"read by {signal.backend}" if signal.backend else "not read"
    return f"{signal.name} is {way}: {signal.reason}: {signal.message}"


def _line(words: str, style: str) -> Text:
    return Text(words, style=style, no_wrap=True, overflow="ellipsis")
