"""A node as a whole, from what its agent saw of all its pods and GPUs."""

from typing import Final

from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_api.windows import Direction, GpuSamples, HttpWindows, ListenWindows, TcpWindows
from tokenflow_hintsvc.decide.requests import Requests
from tokenflow_hintsvc.decide.samples import GpuSample, NodeKey, NodeSample

_HELD_DOWN: Final = frozenset(
    {"SwPowerCap", "HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "Reliability"}
)
"""Throttle reasons that tell of trouble; the others are somebody's choice of a clock."""


def node_sample(batch: TelemetryBatch) -> NodeSample:
    """Return what an agent's batch says of its node."""
    rtt_us, rtt_min_us = _round_trips(batch.tcp)
    requests = _requests(batch.http)
    return NodeSample(
        key=NodeKey(batch.agent, batch.node),
        at_ms=batch.sent_at_unix_ms + batch.clock_offset_ms,
        rtt_us=rtt_us,
        rtt_min_us=rtt_min_us,
        retransmit_ratio=_retransmit_ratio(batch.tcp),
        backlog_ratio=_backlog_ratio(batch.listen),
        http_p99_us=requests.slowest_us,
        http_error_ratio=requests.error_ratio,
        gpus=_gpus(batch.gpu),
    )


def _round_trips(rows: TcpWindows) -> tuple[float | None, float | None]:
    weighed = [
        (samples, rows.srtt_us[row], rows.path_min_rtt_us[row])
        for row, samples in enumerate(rows.samples)
        if samples and rows.path_min_rtt_us[row]
    ]
    total = sum(samples for samples, _, _ in weighed)
    if not total:
        return None, None
    return (
        sum(samples * rtt for samples, rtt, _ in weighed) / total,
        sum(samples * least for samples, _, least in weighed) / total,
    )


def _retransmit_ratio(rows: TcpWindows) -> float | None:
    sent = sum(
        rows.segments[row] + rows.retransmits[row] if sent is None else sent for row, sent in enumerate(rows.sent)
    )
    return min(1.0, sum(rows.retransmits) / sent) if sent else None


def _backlog_ratio(rows: ListenWindows) -> float | None:
    return max(
        (backlog / limit for backlog, limit in zip(rows.backlog, rows.backlog_limit, strict=True) if limit),
        default=None,
    )


def _requests(rows: HttpWindows) -> Requests:
    requests = Requests()
    for row, direction in enumerate(rows.direction):
        if direction is Direction.SERVED:
            requests.read(rows, row)
    return requests


def _gpus(rows: GpuSamples) -> tuple[GpuSample, ...]:
    return tuple(
        GpuSample(
            utilization=_share(rows.utilization_percent[row], 100),
            memory=_share(rows.memory_used_bytes[row], rows.memory_total_bytes[row]),
            temperature_celsius=_share(rows.temperature_celsius[row], 1),
            throttled=not _HELD_DOWN.isdisjoint(rows.throttle_reasons[row].split(",")),
        )
        for row in range(len(rows))
    )


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None
