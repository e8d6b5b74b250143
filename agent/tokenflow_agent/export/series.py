"""Turns the tables of windows into series: counters that add up, and gauges of the last window.

A table has one row per client network, protocol or the like; rows with the same labels are one series.
"""

import operator
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenflow_agent.export.model import Family, Labels, Metric, Point, Trace
from tokenflow_api.windows import OTHER_CLASS

KEPT_S: Final = 300.0
"""How long the counters of a pod that is gone are kept, so that the last scrape sees their end."""
_SWEEP_S: Final = 60.0

Pod = tuple[str, str]
"""Namespace and name."""
Merge = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Count:
    """A counter: the sum of a column over all windows."""

    metric: Metric
    column: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """A value of the last window.

    Attributes:
        metric: as which it is exported.
        column: where it stands.
        merge: makes one value of those of several rows.
        over: column that it is divided by, merged likewise; no series where that is 0.
        scale: factor to the metric's unit.
        measured: whether 0 means that nothing was measured, as for a round-trip time.
    """

    metric: Metric
    column: str
    merge: Merge = max
    over: str = ""
    scale: float = 1
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """What series depend on.

    Attributes:
        living: called for the pods of the node when series are about to go.
        clock: monotonic, in seconds.
    """

    living: Callable[[], Collection[Pod]]
    clock: Callable[[], float] = time.monotonic


class _Series:
    """One set of labels."""

    __slots__ = ("labels", "pod", "seen", "since_s", "sums", "trace", "until", "values", "window")

    def __init__(self, labels: Labels, pod: Pod, *, counts: int, since_s: float) -> None:
        self.labels = labels
        self.pod = pod
        self.since_s = since_s
        self.sums: list[int | None] = [None] * counts
        self.values: list[int | None] = []
        self.window = -1
        self.seen = self.until = 0.0
        self.trace: Trace | None = None


class SeriesTable:
    """The series of one table.

    A gauge stands for the last window in which its pod was seen, and leaves after ``valid_s``. A counter stays
    as long as its pod lives, and ``KEPT_S`` longer; it goes earlier only where the bound on series is met.

    Args:
        labels: label by column.
        counts: counters.
        gauges: gauges.
        most: bound on series; label sets beyond it count as ``~other``.
        node: tells the time, and which pods live.
    """

    def __init__(
        self,
        *,
        labels: Mapping[str, str],
        counts: Sequence[Count] = (),
        gauges: Sequence[Last] = (),
        most: int,
        node: Node,
    ) -> None:
        self._names = tuple(labels)
        self._keys = tuple(labels.values())
        self._counts = counts
        self._gauges = gauges
        self._columns = [(gauge.column, gauge.merge) for gauge in gauges]
        self._columns += [(gauge.over, gauge.merge) for gauge in gauges if gauge.over]
        self._over = {gauge.over: len(gauges) + at for at, gauge in enumerate(g for g in gauges if g.over)}
        self._most = most
        self._node = node
        self._series: dict[tuple[object, ...], _Series] = {}
        self._window = 0
        self._dropped = 0
        self._swept = node.clock()

    def add(self, rows: Any, *, valid_s: float) -> None:
        """Take in the rows of a window.

        Args:
            rows: a table of ``tokenflow_api.windows``.
            valid_s: how long its gauges are shown.
        """
        now = self._node.clock()
        self._window += 1
        if now - self._swept >= _SWEEP_S:
            self._sweep(now)
        counts = [getattr(rows, count.column) for count in self._counts]
        values = [getattr(rows, column) for column, _ in self._columns]
        keys = zip(*(getattr(rows, column) for column in self._keys), strict=True)
        for at, key in enumerate(keys):
            series = self._series.get(key) or self._new(key, now)
            series.seen, series.until = now, now + valid_s
            for position, column in enumerate(counts):
                if column[at]:
                    series.sums[position] = (series.sums[position] or 0) + column[at]
                elif column[at] == 0 and series.sums[position] is None:
                    series.sums[position] = 0
            row = [column[at] for column in values]
            if series.window == self._window:
                row = [
                    new if old is None else old if new is None else merge(old, new)
                    for old, new, (_, merge) in zip(series.values, row, self._columns, strict=True)
                ]
            series.values, series.window = row, self._window

    def replace(self, rows: Any, *, valid_s: float) -> None:
        """Take in a reading of all there is: series that it lacks are gone at once."""
        self._series.clear()
        self.add(rows, valid_s=valid_s)

    def attach(self, key: tuple[object, ...], trace: Trace) -> None:
        """Show ``trace`` as exemplar of the series with these values of its labels."""
        series = self._series.get(key)
        if series is not None:
            series.trace = trace

    def families(self) -> Iterator[Family]:
        """Yield all metrics with their series."""
        for position, count in enumerate(self._counts):
            yield count.metric, self._counters(position, traced=position == 0)
        for position, gauge in enumerate(self._gauges):
            yield gauge.metric, self._last(position, gauge)

    def _counters(self, position: int, *, traced: bool) -> Iterator[Point]:
        for series in self._all():
            value = series.sums[position]
            if value is not None:
                yield Point(series.labels, value, series.since_s, series.trace if traced else None)

    def _last(self, position: int, gauge: Last) -> Iterator[Point]:
        now = self._node.clock()
        over = self._over.get(gauge.over)
        for series in self._all():
            if series.until <= now:
                continue
            value = series.values[position]
            if value is None or (gauge.measured and not value):
                continue
            if over is not None:
                below = series.values[over]
                if below:
                    yield Point(series.labels, value / below)
            else:
                yield Point(series.labels, value if gauge.scale == 1 else value * gauge.scale)

    def _all(self) -> list[_Series]:
        # A scrape goes on over several turns of the loop, between which series come and go.
        return list(self._series.values())

    def _new(self, key: tuple[object, ...], now: float) -> _Series:
        if len(self._series) >= self._most and self._dropped != self._window:
            self._dropped = self._window
            self._drop(lambda series: now - series.seen >= KEPT_S)
        if len(self._series) >= self._most:
            key = (OTHER_CLASS,) * len(key)
        known = self._series.get(key)
        if known is not None:
            return known
        values = dict(zip(self._names, key, strict=True))
        pod = (str(values.get("namespace", "")), str(values.get("pod", "")))
        series = _Series(Labels(self._names, key), pod, counts=len(self._counts), since_s=time.time())
        self._series[key] = series
        return series

    def _sweep(self, now: float) -> None:
        self._swept = now
        if any(now - series.seen >= KEPT_S for series in self._series.values()):
            alive = self._node.living()
            self._drop(lambda series: now - series.seen >= KEPT_S and series.pod not in alive)

    def _drop(self, over: Callable[[_Series], bool]) -> None:
        self._series = {key: series for key, series in self._series.items() if not over(series)}


total: Final[Merge] = operator.add
"""Merges the values of several rows by adding them."""
