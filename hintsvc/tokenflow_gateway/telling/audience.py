"""The figures of all tenants, as Prometheus is told."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tokenflow_api.serving.buckets import Buckets
from tokenflow_gateway.telling.readers import Readers

MAX_TENANTS: Final = 512
"""Tenants told apart since the start; further ones are put together."""
OTHER: Final = "~other"
DENIED: Final = "~denied"
"""Stands for the tenant of requests that were refused before it was known."""

_MICRO: Final = 1_000_000
"""A price is per million tokens: tokens times price is in millionths of a micro."""


class Audience(Collector):
    """The figures of all tenants.

    An export collects in a thread of its own: it goes over copies, for meanwhile there may be more.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, Readers] = {}

    def of(self, tenant: str) -> Readers:
        """Return the figures of a tenant."""
        found = self._tenants.get(tenant)
        if found is None:
            name = tenant if len(self._tenants) < MAX_TENANTS else OTHER
            found = self._tenants.setdefault(name, Readers())
        return found

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus."""
        for name, documentation, count in _COUNTS:
            family = CounterMetricFamily(name, documentation, labels=["tenant"])
            for tenant, readers in list(self._tenants.items()):
                family.add_metric([tenant], count(readers))
            yield family
        for name, documentation, label, counts in _COUNTERS:
            family = CounterMetricFamily(name, documentation, labels=["tenant", label])
            for tenant, readers in list(self._tenants.items()):
                for value, number in list(counts(readers).items()):
                    family.add_metric([tenant, value], number)
            yield family
        for name, documentation, buckets in _HISTOGRAMS:
            histogram = HistogramMetricFamily(name, documentation, labels=["tenant"])
            for tenant, readers in list(self._tenants.items()):
                told = buckets(readers)
                histogram.add_metric([tenant], told.cumulative(), sum_value=told.total)
            yield histogram
        yield self._requests()
        yield self._costs()
        yield self._streams()

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "tokenflow_gateway_requests",
            "Requests by tenant, route and status.",
            labels=["tenant", "route", "status"],
        )
        for tenant, readers in list(self._tenants.items()):
            for (route, status), number in list(readers.requests.items()):
                family.add_metric([tenant, route, str(status)], number)
        return family

    def _costs(self) -> Metric:
        family = CounterMetricFamily(
            "tokenflow_gateway_cost_micros",
            "Cost of the tokens, in millionths of the currency.",
            labels=["tenant", "currency"],
        )
        for tenant, readers in list(self._tenants.items()):
            for currency, millionths in list(readers.costs.items()):
                family.add_metric([tenant, currency], millionths / _MICRO)
        return family

    def _streams(self) -> Metric:
        family = GaugeMetricFamily("tokenflow_gateway_streams", "Streams open.", labels=["tenant"])
        for tenant, readers in list(self._tenants.items()):
            family.add_metric([tenant], readers.streams)
        return family


_COUNTS: Final[tuple[tuple[str, str, Callable[[Readers], float]], ...]] = (
    ("tokenflow_gateway_tokens", "Tokens streamed.", lambda readers: readers.tokens),
    ("tokenflow_gateway_stream_bytes", "Bytes of streams.", lambda readers: readers.bytes),
    (
        "tokenflow_gateway_late_tokens",
        "Tokens that came after they were due at objectives.tokensPerSecond.",
        lambda readers: readers.late_tokens,
    ),
    (
        "tokenflow_gateway_stalls",
        "Waits of 0.1 s and more of somebody who reads at objectives.tokensPerSecond.",
        lambda readers: readers.stalls,
    ),
    (
        "tokenflow_gateway_stalled_seconds",
        "Time that somebody who reads at objectives.tokensPerSecond waited within streams.",
        lambda readers: readers.stalled_s,
    ),
    (
        "tokenflow_gateway_reading_seconds",
        "Time from the first token of a stream to the end of its reading, of streams that are over.",
        lambda readers: readers.reading_s,
    ),
    ("tokenflow_gateway_cancelled", "Streams whose reader left.", lambda readers: readers.cancelled),
)
_COUNTERS: Final[tuple[tuple[str, str, str, Callable[[Readers], Counter[str]]], ...]] = (
    (
        "tokenflow_gateway_usage_tokens",
        "Tokens of requests, as upstreams measured them, else counted.",
        "direction",
        lambda readers: readers.usage,
    ),
    (
        "tokenflow_gateway_streams_judged",
        "Streams by what they were, measured by objectives: Met is goodput.",
        "verdict",
        lambda readers: readers.verdicts,
    ),
)
_HISTOGRAMS: Final[tuple[tuple[str, str, Callable[[Readers], Buckets]], ...]] = (
    (
        "tokenflow_gateway_time_to_first_token_seconds",
        "From the request to its first token.",
        lambda readers: readers.first_token,
    ),
    ("tokenflow_gateway_event_gap_seconds", "Between two events of a stream.", lambda readers: readers.gaps),
    (
        "tokenflow_gateway_tenant_queue_seconds",
        "Time that requests waited for room.",
        lambda readers: readers.queue,
    ),
    (
        "tokenflow_gateway_quality_of_experience",
        "Quality of experience (Andes) of streams, 0 to 1.",
        lambda readers: readers.quality,
    ),
)
