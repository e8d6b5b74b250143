"""Spans and figures as OTLP over HTTP. Imported only where an endpoint is set.

OpenTelemetry's exporters do the encoding and the sending. Its tracer and meters are not used: a span is handed over
when it is over, and the figures are those of Prometheus, so that both ways tell the same.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Final

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from tokenflow_api.serving.spans import Kind, Span

_TIMEOUT_S: Final = 5.0
_VERSION: Final = version("tokenflow-operator")
_KINDS: Final = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_UNITS: Final = {"_ms": "ms", "_seconds": "s", "_bytes": "By", "_us": "us"}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_STARTED_NS: Final = time.time_ns()


class OtlpClient:
    """Sends to one collector. Its methods block, for at most ``_TIMEOUT_S``.

    Args:
        endpoint: base address, such as ``http://collector:4318``.
        resource: attributes of this server, ``service.name`` among them.
    """

    def __init__(self, endpoint: str, *, resource: Mapping[str, str]) -> None:
        base = endpoint.rstrip("/")
        self._resource = Resource({**resource, "service.version": _VERSION})
        self._scope = InstrumentationScope(resource["service.name"], _VERSION)
        self._spans = OTLPSpanExporter(f"{base}/v1/traces", timeout=_TIMEOUT_S, compression=Compression.Gzip)
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", timeout=_TIMEOUT_S, compression=Compression.Gzip)
        # It says the same at each failure; the loop that exports says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def send_spans(self, spans: Sequence[Span]) -> bool:
        """Send ``spans``; return whether they arrived."""
        return (
            self._spans.export([_span(span, self._resource, self._scope) for span in spans]) is SpanExportResult.SUCCESS
        )

    def send_figures(self, families: Iterable[Family]) -> bool:
        """Send figures, as a registry collects them; return whether they arrived."""
        figures = metrics_data(families, resource=self._resource, scope=self._scope, at_ns=time.time_ns())
        return self._metrics.export(figures) is MetricExportResult.SUCCESS

    def close(self) -> None:
        """End, a send that is under way too."""
        self._spans.shutdown()  # type: ignore[no-untyped-call]  # the library is untyped here
        self._metrics.shutdown()


def _span(span: Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    of = span.trace
    trace_id = int(of.trace_id, 16)
    parent = (
        SpanContext(trace_id, int(of.parent_id, 16), is_remote=True, trace_flags=_SAMPLED) if of.parent_id else None
    )
    return ReadableSpan(
        span.name,
        context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=parent,
        resource=resource,
        attributes=dict(span.attributes),
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
        start_time=span.began_unix_ns,
        end_time=span.ended_unix_ns,
        instrumentation_scope=scope,
    )


def metrics_data(
    families: Iterable[Family], *, resource: Resource, scope: InstrumentationScope, at_ns: int
) -> MetricsData:
    """Return Prometheus' figures as OpenTelemetry's, under the same names.

    Args:
        families: as a registry collects them.
        resource: attributes of this server.
        scope: who tells.
        at_ns: when they were collected, nanoseconds since 1970.
    """
    told = ScopeMetrics(scope, [_metric(family, at_ns) for family in families], schema_url="")
    return MetricsData([ResourceMetrics(resource, [told], schema_url="")])


def _metric(family: Family, at_ns: int) -> Metric:
    unit = family.unit or next((unit for end, unit in _UNITS.items() if family.name.endswith(end)), "")
    data: Sum | Gauge | Histogram
    if family.type == "histogram":
        data = Histogram(list(_histogram_points(family, at_ns)), AggregationTemporality.CUMULATIVE)
    elif family.type == "counter":
        points = [_point(sample, at_ns) for sample in family.samples if sample.name.endswith("_total")]
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge([_point(sample, at_ns) for sample in family.samples])
    return Metric(family.name, family.documentation, unit, data)


def _point(sample: Sample, at_ns: int) -> NumberDataPoint:
    return NumberDataPoint(dict(sample.labels), _STARTED_NS, at_ns, sample.value)


def _histogram_points(family: Family, at_ns: int) -> Iterator[HistogramDataPoint]:
    """Yield a point per set of labels; Prometheus' buckets hold those below them, OpenTelemetry's do not."""
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        kind = sample.labels.get("le", sample.name.removeprefix(family.name))
        rows.setdefault(tuple(sorted(labels.items())), {})[kind] = sample.value
    for labels_of_row, row in rows.items():
        bounds = sorted((float(kind), value) for kind, value in row.items() if not kind.startswith("_"))
        below = [0, *(int(value) for _, value in bounds)]
        yield HistogramDataPoint(
            attributes=dict(labels_of_row),
            start_time_unix_nano=_STARTED_NS,
            time_unix_nano=at_ns,
            count=below[-1],
            sum=row["_sum"],
            bucket_counts=[upper - lower for lower, upper in pairwise(below)],
            explicit_bounds=[bound for bound, _ in bounds[:-1]],
            min=None,  # type: ignore[arg-type]  # left out: Prometheus keeps no extremes
            max=None,  # type: ignore[arg-type]
        )
