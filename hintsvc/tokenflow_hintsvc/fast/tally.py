"""Counts the answers of this listener in the figures that all listeners share."""

from typing import TYPE_CHECKING

from tokenflow_hintsvc import metrics

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram


class Tally:
    """Holds the counters of each route and status: looking them up by their labels costs more than an answer."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def add(self, route: str, status: int, *, seconds: float) -> None:
        """Count an answer.

        Args:
            route: template of what was asked for.
            status: of HTTP.
            seconds: that the answer took.
        """
        counters = self._counters.get((route, status))
        if counters is None:
            counters = (metrics.REQUESTS.labels(route, status), metrics.LATENCY.labels(route))
            self._counters[route, status] = counters
        counters[0].inc()
        counters[1].observe(seconds * 1000)
