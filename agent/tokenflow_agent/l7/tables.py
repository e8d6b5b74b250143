"""Tallies of one window as rows for the wire."""

from collections.abc import Mapping
from typing import Final, TypeVar

from tokenflow_agent.identity import Pod
from tokenflow_agent.l7.tally import HttpKey, HttpRow, Place, SqlKey, SqlRow
from tokenflow_agent.tcp.histogram import quantiles
from tokenflow_api.windows import MAX_ROWS, HttpWindows, SqlWindows

_SHARES: Final = (0.5, 0.95, 0.99)
_ENDS: Final = (0.5, 0.99)

KeyT = TypeVar("KeyT", HttpKey, SqlKey)
RowT = TypeVar("RowT", HttpRow, SqlRow)


def http_table(rows: Mapping[HttpKey, HttpRow], pods: Mapping[Place, Pod], *, start_unix_ms: int) -> HttpWindows:
    """Return the requests of pods as a table, at most ``MAX_ROWS`` rows, the busiest."""
    found = _by_pod(rows, pods)
    busiest = sorted(found, key=lambda each: -found[each].requests - found[each].events)[:MAX_ROWS]
    columns: dict[str, list[object]] = {name: [] for name in HttpWindows.model_fields}
    for pod, key in sorted(busiest, key=_order):
        row = found[pod, key]
        p50, p95, p99 = (value or 0 for value in quantiles(row.latencies, _SHARES))
        first_byte_p50, first_byte_p99 = (value or 0 for value in quantiles(row.first_bytes, _ENDS))
        first_event_p50, first_event_p99 = quantiles(row.first_events, _ENDS)
        gap_p50, gap_p99 = quantiles(row.gaps, _ENDS)
        values = {
            "start_unix_ms": start_unix_ms,
            **_place(pod, key.place),
            "tls": key.tls,
            "protocol": key.protocol,
            "method": key.method,
            "route": key.route,
            "status": key.status,
            "requests": row.requests,
            "latency_sum_us": row.latency_sum_us,
            "latency_p50_us": p50,
            "latency_p95_us": p95,
            "latency_p99_us": p99,
            "first_byte_p50_us": first_byte_p50,
            "first_byte_p99_us": first_byte_p99,
            "streams": row.streams,
            "first_event_p50_us": first_event_p50,
            "first_event_p99_us": first_event_p99,
            "gap_p50_us": gap_p50,
            "gap_p99_us": gap_p99,
            "events": row.events,
            "event_bytes": row.event_bytes,
        }
        for name, value in values.items():
            columns[name].append(value)
    return HttpWindows.model_validate(columns)


def sql_table(rows: Mapping[SqlKey, SqlRow], pods: Mapping[Place, Pod], *, start_unix_ms: int) -> SqlWindows:
    """Return the statements of pods as a table, at most ``MAX_ROWS`` rows, the busiest."""
    found = _by_pod(rows, pods)
    busiest = sorted(found, key=lambda each: -found[each].statements)[:MAX_ROWS]
    columns: dict[str, list[object]] = {name: [] for name in SqlWindows.model_fields}
    for pod, key in sorted(busiest, key=_order):
        row = found[pod, key]
        p50, p95, p99 = (value or 0 for value in quantiles(row.latencies, _SHARES))
        values = {
            "start_unix_ms": start_unix_ms,
            **_place(pod, key.place),
            "system": key.system,
            "verb": key.verb,
            "statements": row.statements,
            "errors": row.errors,
            "latency_sum_us": row.latency_sum_us,
            "latency_p50_us": p50,
            "latency_p95_us": p95,
            "latency_p99_us": p99,
        }
        for name, value in values.items():
            columns[name].append(value)
    return SqlWindows.model_validate(columns)


def _by_pod(rows: Mapping[KeyT, RowT], pods: Mapping[Place, Pod]) -> dict[tuple[Pod, KeyT], RowT]:
    """Return the rows of pods, those of one pod's containers as one."""
    found: dict[tuple[Pod, KeyT], RowT] = {}
    for key, row in rows.items():
        pod = pods.get(key.place)
        if pod is None:
            continue
        nowhere = key._replace(place=key.place._replace(cgroup=0, network=0))
        if (same := found.setdefault((pod, nowhere), row)) is not row:
            same.merge(row)
    return found


def _order(each: tuple[Pod, HttpKey | SqlKey]) -> tuple[object, ...]:
    pod, key = each
    return (pod.uid, *key)


def _place(pod: Pod, place: Place) -> dict[str, object]:
    return {
        "pod_namespace": pod.namespace,
        "pod_name": pod.name,
        "pod_uid": pod.uid,
        "direction": place.direction,
        "service_port": place.port,
    }
