"""Counts answers, and the time that they took."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tokenflow_api.serving.buckets import Buckets

BOUNDS_MS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0)
"""Upper bounds of the histogram's buckets but the last, which has none."""


class Tally(Collector):
    """The answers of all listeners, by route and status: both have few values.

    An export collects in a thread of its own: it goes over a copy, for meanwhile there may be more.
    """

    def __init__(self) -> None:
        self._took_ms: dict[tuple[str, int], Buckets] = {}

    def add(self, route: str, status: int, *, seconds: float) -> None:
        """Count an answer.

        Args:
            route: template of what was asked for.
            status: of HTTP.
            seconds: that the answer took.
        """
        took_ms = self._took_ms.get((route, status))
        if took_ms is None:
            took_ms = self._took_ms[route, status] = Buckets(BOUNDS_MS)
        took_ms.add(seconds * 1000)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        requests = CounterMetricFamily("hint_server_request_count", "Requests answered.", labels=["route", "status"])
        latency = HistogramMetricFamily("hint_server_latency_ms", "Time to answer, in milliseconds.", labels=["route"])
        routes: dict[str, Buckets] = {}
        for (route, status), took_ms in list(self._took_ms.items()):
            requests.add_metric([route, str(status)], sum(took_ms.counts))
            routes.setdefault(route, Buckets(BOUNDS_MS)).merge(took_ms)
        for route, took_ms in routes.items():
            latency.add_metric([route], took_ms.cumulative(), sum_value=took_ms.total)
        yield requests
        yield latency
