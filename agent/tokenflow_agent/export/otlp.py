"""Figures as OTLP/HTTP in its JSON encoding (OpenTelemetry protocol 1.x), for who has no Prometheus."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from tokenflow_agent.export.model import Family, Kind, Labels, Metric, Point

MAX_POINTS: Final = 20_000
"""Bound on one document; what is beyond it is left out."""
_SCOPE: Final = "tokenflow_agent"
_CUMULATIVE: Final = 2
_quoted: Final = json.encoder.encode_basestring_ascii
_NS: Final = 1_000_000_000


def document(families: Iterable[Family], *, resource: Mapping[str, str], at_s: float) -> Iterator[str]:
    """Yield an ``ExportMetricsServiceRequest`` piece by piece.

    Args:
        families: what is exported.
        resource: attributes of the agent.
        at_s: when the figures were read, in Unix seconds.
    """
    about = f'{{"attributes":{_attributes(Labels(tuple(resource), tuple(resource.values())))}}}'
    yield f'{{"resourceMetrics":[{{"resource":{about},"scopeMetrics":[{{"scope":{{"name":"{_SCOPE}"}},"metrics":['
    comma, left = "", MAX_POINTS
    for metric, points in families:
        values = [_point(point, at_s) for point in islice(points, left)]
        left -= len(values)
        if values:
            yield comma + _metric(metric, values)
            comma = ","
    yield "]}]}]}"


def _metric(metric: Metric, values: list[str]) -> str:
    about = f'{{"name":"{metric.name}","description":{json.dumps(metric.words)}'
    points = f'"dataPoints":[{",".join(values)}]'
    if metric.kind is Kind.GAUGE:
        return f'{about},"gauge":{{{points}}}}}'
    return f'{about},"sum":{{{points},"aggregationTemporality":{_CUMULATIVE},"isMonotonic":true}}}}'


def _point(point: Point, at_s: float) -> str:
    # 64-bit integers are strings in the JSON encoding of protocol buffers.
    value = f'"asInt":"{point.value}"' if isinstance(point.value, int) else f'"asDouble":{point.value}'
    since = f'"startTimeUnixNano":"{_ns(point.since_s)}",' if point.since_s else ""
    trace = point.trace
    exemplars = (
        f',"exemplars":[{{"timeUnixNano":"{_ns(trace.at_s)}","asInt":"{trace.value}","traceId":"{trace.trace_id}"}}]'
        if trace
        else ""
    )
    return f'{{"attributes":{_attributes(point.labels)},{since}"timeUnixNano":"{_ns(at_s)}",{value}{exemplars}}}'


def _attributes(labels: Labels) -> str:
    pairs = (f'{{"key":"{name}","value":{{"stringValue":{_quoted(value)}}}}}' for name, value in labels.pairs())
    return f"[{','.join(pairs)}]"


def _ns(at_s: float) -> int:
    return round(at_s * _NS)
