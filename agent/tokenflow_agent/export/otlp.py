"""Figures as OTLP/HTTP in its JSON encoding (OpenTelemetry protocol 1.x), for who has no Prometheus."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from tokenflow_agent.export.model import Family, Kind, Metric, Point

MAX_POINTS: Final = 20_000
"""Bound on one document; what is beyond it is left out."""
_SCOPE: Final = "tokenflow_agent"
_CUMULATIVE: Final = 2
_GZIP: Final = 31
_NS: Final = 1_000_000_000


def document(families: Iterable[Family], *, resource: Sequence[tuple[str, str]], at_s: float) -> Iterator[str]:
    """Yield an ``ExportMetricsServiceRequest`` piece by piece.

    Args:
        families: what is exported.
        resource: attributes of the agent.
        at_s: when the figures were read, in Unix seconds.
    """
    about = json.dumps({"attributes": _attributes(resource)})
    yield f'{{"resourceMetrics":[{{"resource":{about},"scopeMetrics":[{{"scope":{{"name":"{_SCOPE}"}},"metrics":['
    comma, left = "", MAX_POINTS
    for metric, points in families:
        values = [_point(metric, point, at_s) for point in islice(points, left)]
        left -= len(values)
        if values:
            yield comma + json.dumps(_metric(metric, values), separators=(",", ":"))
            comma = ","
    yield "]}]}]}"


def gzipped(pieces: Iterable[str]) -> bytes:
    """Return the pieces, joined and compressed."""
    packer = zlib.compressobj(level=1, wbits=_GZIP)
    return b"".join([*(packer.compress(piece.encode()) for piece in pieces), packer.flush()])


def _metric(metric: Metric, values: list[dict[str, Any]]) -> dict[str, Any]:
    about = {"name": metric.name, "description": metric.words}
    if metric.kind is Kind.GAUGE:
        return {**about, "gauge": {"dataPoints": values}}
    return {**about, "sum": {"dataPoints": values, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}}


def _point(metric: Metric, point: Point, at_s: float) -> dict[str, Any]:
    value: dict[str, Any] = {
        "attributes": _attributes(point.labels.pairs),
        "timeUnixNano": str(round(at_s * _NS)),
        # 64-bit integers are strings in the JSON encoding of protocol buffers.
        **({"asInt": str(point.value)} if isinstance(point.value, int) else {"asDouble": point.value}),
    }
    if metric.kind is Kind.COUNTER and point.since_s:
        value["startTimeUnixNano"] = str(round(point.since_s * _NS))
    if point.trace is not None:
        stamp = str(round(point.trace.at_s * _NS))
        value["exemplars"] = [{"timeUnixNano": stamp, "asInt": str(point.trace.value), "traceId": point.trace.trace_id}]
    return value


def _attributes(pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in pairs]
