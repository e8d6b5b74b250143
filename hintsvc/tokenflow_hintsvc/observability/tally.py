"""Counts answers, and the time that they took, at a fifth of what counters with labels cost."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BOUNDS_MS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0)
"""Upper bounds of the histogram's buckets but the last, which has none."""
_NAMES: Final = (*map(str, BOUNDS_MS), "+Inf")


class _Record:
    __slots__ = ("buckets", "total_ms")

    def __init__(self) -> None:
        self.buckets = [0] * len(_NAMES)
        self.total_ms = 0.0


class Tally(Collector):
    """The answers of all listeners, by route and status: both have few values."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, int], _Record] = {}

    def add(self, route: str, status: int, *, seconds: float) -> None:
        """Count an answer.

        Args:
            route: template of what was asked for.
            status: of HTTP.
            seconds: that the answer took.
        """
        record = self._records.get((route, status))
        if record is None:
            record = self._records[route, status] = _Record()
        took_ms = seconds * 1000
        record.buckets[bisect_left(BOUNDS_MS, took_ms)] += 1
        record.total_ms += took_ms

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        requests = CounterMetricFamily("hint_server_request_count", "Requests answered.", labels=["route", "status"])
        latency = HistogramMetricFamily("hint_server_latency_ms", "Time to answer, in milliseconds.", labels=["route"])
        routes: dict[str, list[_Record]] = {}
        for (route, status), record in self._records.items():
            requests.add_metric([route, str(status)], sum(record.buckets))
            routes.setdefault(route, []).append(record)
        for route, records in routes.items():
            counts = accumulate(map(sum, zip(*(record.buckets for record in records), strict=True)))
            buckets = list(zip(_NAMES, counts, strict=True))
            latency.add_metric([route], buckets, sum_value=sum(record.total_ms for record in records))
        yield requests
        yield latency
