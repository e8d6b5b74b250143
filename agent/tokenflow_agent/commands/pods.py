"""What the last windows say of each pod."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_api.windows import Direction, HttpWindows, ListenWindows, TcpWindows

_FAILED: Final = frozenset(
    {
        *("5xx", "aborted"),
        *("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    }
)
"""Outcomes of requests that the server is to blame for; gRPC's after OpenTelemetry's semantic conventions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PodRow:
    """A pod; ``None`` is what nobody saw or could read.

    Attributes:
        namespace: of the pod.
        pod: its name.
        rtt_p50_us: median of its round-trip times.
        rtt_p95_us: their 95th percentile.
        retransmits_per_second: segments that were sent again.
        backlog: connections that wait at its fullest port, at the worst time.
        backlog_limit: how many may wait there.
        http_p95_us: 95th percentile of the latency of the requests that it served.
        error_ratio: share of them that failed.
        gpu_memory_bytes: what it holds of all GPUs.
        gpu_utilization_percent: of the busiest of the GPUs that it holds memory of.
    """

    namespace: str
    pod: str
    rtt_p50_us: int | None = None
    rtt_p95_us: int | None = None
    retransmits_per_second: float | None = None
    backlog: int | None = None
    backlog_limit: int | None = None
    http_p95_us: int | None = None
    error_ratio: float | None = None
    gpu_memory_bytes: int | None = None
    gpu_utilization_percent: int | None = None

    @property
    def backlog_ratio(self) -> float | None:
        """How full its fullest accept queue was."""
        return self.backlog / self.backlog_limit if self.backlog is not None and self.backlog_limit else None


def percentile(weighted: Iterable[tuple[int, int]], percent: int) -> int | None:
    """Return the value that ``percent`` of the weight does not exceed; ``None`` without any weight.

    Of percentiles of parts, weighted by the size of the parts, this is the best guess at that of the whole.
    """
    ordered = sorted(pair for pair in weighted if pair[1])
    left = sum(weight for _, weight in ordered) * percent / 100
    for value, weight in ordered:
        left -= weight
        if left <= 0:
            return value
    return None


def pods(batches: Sequence[TelemetryBatch]) -> list[PodRow]:
    """Return what ``batches``, windows of one node, say of each pod."""
    found: dict[tuple[str, str], _Pod] = defaultdict(_Pod)
    for batch in batches:
        _add_tcp(found, batch.tcp)
        _add_listen(found, batch.listen)
        _add_http(found, batch.http)
    _add_gpu(found, batches)
    span_s = sum(batch.window_ms for batch in batches) / 1000
    return [pod.row(*key, span_s=span_s) for key, pod in found.items()]


@dataclass(slots=True)
class _Pod:
    """What has been seen of a pod; values come with the number of samples that they stand for."""

    rtt_p50_us: list[tuple[int, int]] = field(default_factory=list)
    rtt_p95_us: list[tuple[int, int]] = field(default_factory=list)
    retransmits: int | None = None
    queues: list[tuple[int, int]] = field(default_factory=list)
    http_p95_us: list[tuple[int, int]] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    gpu_memory_bytes: int | None = None
    gpu_utilization_percent: int | None = None

    def row(self, namespace: str, pod: str, *, span_s: float) -> PodRow:
        fullest = max(self.queues, key=lambda queue: queue[0] / queue[1], default=(None, None))
        return PodRow(
            namespace=namespace,
            pod=pod,
            rtt_p50_us=percentile(self.rtt_p50_us, 50),
            rtt_p95_us=percentile(self.rtt_p95_us, 95),
            retransmits_per_second=None if self.retransmits is None else self.retransmits / span_s,
            backlog=fullest[0],
            backlog_limit=fullest[1],
            http_p95_us=percentile(self.http_p95_us, 95),
            error_ratio=self.failed / self.requests if self.requests else None,
            gpu_memory_bytes=self.gpu_memory_bytes,
            gpu_utilization_percent=self.gpu_utilization_percent,
        )


def _add_tcp(found: dict[tuple[str, str], _Pod], rows: TcpWindows) -> None:
    for row, key in enumerate(zip(rows.pod_namespace, rows.pod_name, strict=True)):
        pod = found[key]
        pod.retransmits = (pod.retransmits or 0) + rows.retransmits[row]
        _add(pod.rtt_p50_us, rows.rtt_p50_us[row], rows.samples[row])
        _add(pod.rtt_p95_us, rows.rtt_p95_us[row], rows.samples[row])


def _add_listen(found: dict[tuple[str, str], _Pod], rows: ListenWindows) -> None:
    for row, key in enumerate(zip(rows.pod_namespace, rows.pod_name, strict=True)):
        limit = rows.backlog_limit[row]
        if limit:
            found[key].queues.append((rows.backlog[row], limit))


def _add_http(found: dict[tuple[str, str], _Pod], rows: HttpWindows) -> None:
    for row, key in enumerate(zip(rows.pod_namespace, rows.pod_name, strict=True)):
        if rows.direction[row] is Direction.SERVED:
            pod = found[key]
            _add(pod.http_p95_us, rows.latency_p95_us[row], rows.requests[row])
            pod.requests += rows.requests[row]
            pod.failed += rows.requests[row] if rows.status[row] in _FAILED else 0


def _add(weighted: list[tuple[int, int]], value: int | None, weight: int) -> None:
    if value is not None:
        weighted.append((value, weight))


def _add_gpu(found: dict[tuple[str, str], _Pod], batches: Sequence[TelemetryBatch]) -> None:
    """Add the last reading of the GPUs, which are not read in every window."""
    last = next((batch for batch in reversed(batches) if len(batch.gpu)), None)
    if last is None:
        return
    busy = dict(zip(last.gpu.uuid, last.gpu.utilization_percent, strict=True))
    held = last.gpu_processes
    for row, key in enumerate(zip(held.pod_namespace, held.pod_name, strict=True)):
        pod = found[key]
        pod.gpu_memory_bytes = (pod.gpu_memory_bytes or 0) + held.memory_used_bytes[row]
        known = (pod.gpu_utilization_percent, busy.get(held.uuid[row]))
        pod.gpu_utilization_percent = max((each for each in known if each is not None), default=None)
