"""Figures of HTTP requests and SQL statements."""

from typing import Final

from tokenflow_agent.export.model import Trace, counter, gauge
from tokenflow_agent.export.series import Count, Last, Node, SeriesTable
from tokenflow_agent.sources import Exemplar
from tokenflow_api.windows import HttpWindows

MAX_SERIES: Final = 2048
_PORT: Final = {"namespace": "pod_namespace", "pod": "pod_name", "port": "service_port", "direction": "direction"}
_HTTP: Final = {
    **_PORT,
    "tls": "tls",
    "protocol": "protocol",
    "method": "method",
    "route": "route",
    "status": "status",
}


def http(node: Node) -> SeriesTable:
    """Return the series of ``HttpWindows``."""
    return SeriesTable(
        labels=_HTTP,
        most=MAX_SERIES,
        node=node,
        counts=[
            Count(counter("http_requests", "HTTP requests that ended."), "requests"),
            Count(counter("http_request_latency_us", "Time that they took, in all."), "latency_sum_us"),
            Count(counter("http_streams", "Those of them that were streams of server-sent events."), "streams"),
            Count(counter("http_stream_events", "Server-sent events."), "events"),
            Count(counter("http_stream_bytes", "Bytes of server-sent events."), "event_bytes"),
        ],
        gauges=[
            _time("http_request_latency_p50_us", "Median latency of HTTP requests.", "latency_p50_us"),
            _time("http_request_latency_p95_us", "95th percentile of HTTP requests' latency.", "latency_p95_us"),
            _time("http_request_latency_p99_us", "99th percentile of HTTP requests' latency.", "latency_p99_us"),
            _time("http_first_byte_p50_us", "Median time to the first byte.", "first_byte_p50_us"),
            _time("http_first_byte_p99_us", "99th percentile of the time to the first byte.", "first_byte_p99_us"),
            _time("http_first_event_p50_us", "Median time to the first event of a stream.", "first_event_p50_us"),
            _time("http_first_event_p99_us", "99th percentile of the time to the first event.", "first_event_p99_us"),
            _time("http_event_gap_p50_us", "Median time between two events of a stream.", "gap_p50_us"),
            _time("http_event_gap_p99_us", "99th percentile of the time between two events.", "gap_p99_us"),
        ],
    )


def sql(node: Node) -> SeriesTable:
    """Return the series of ``SqlWindows``."""
    return SeriesTable(
        labels={**_PORT, "system": "system", "verb": "verb"},
        most=MAX_SERIES,
        node=node,
        counts=[
            Count(counter("sql_statements", "SQL statements that ended."), "statements"),
            Count(counter("sql_errors", "Those of them that failed."), "errors"),
            Count(counter("sql_latency_us", "Time that they took, in all."), "latency_sum_us"),
        ],
        gauges=[
            _time("sql_latency_p50_us", "Median latency of SQL statements.", "latency_p50_us"),
            _time("sql_latency_p95_us", "95th percentile of SQL statements' latency.", "latency_p95_us"),
            _time("sql_latency_p99_us", "99th percentile of SQL statements' latency.", "latency_p99_us"),
        ],
    )


def attach(exemplar: Exemplar, rows: HttpWindows, table: SeriesTable, *, at_s: float) -> None:
    """Show a traced request with the slowest of the series that it may have been counted in."""
    wanted = (exemplar.namespace, exemplar.pod, exemplar.port, exemplar.route)
    columns = (rows.pod_namespace, rows.pod_name, rows.service_port, rows.route)
    found = [row for row, known in enumerate(zip(*columns, strict=True)) if known == wanted]
    if found:
        slowest = max(found, key=rows.latency_p99_us.__getitem__)
        key = tuple(getattr(rows, column)[slowest] for column in _HTTP.values())
        table.attach(key, Trace(exemplar.trace_id, exemplar.latency_us, at_s))


def _time(name: str, words: str, column: str) -> Last:
    return Last(metric=gauge(name, words), column=column, measured=True)
