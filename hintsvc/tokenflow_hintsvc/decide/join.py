"""Joins what the agents' kernels and the gateways' sockets say of the same path.

The kernel knows no tenant, and the gateway sees no more than its own sockets: rows of the same gateway pod,
port and destination class speak of the same connections.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import Direction, StreamWindows, TcpWindows
from tokenflow_hintsvc.decide.samples import AGENT, PathKey, PathSample


@dataclass(frozen=True, slots=True)
class _Socket:
    """Where agent and gateway meet."""

    namespace: str
    pod: str
    port: int
    destination_class: str


@dataclass(slots=True)
class _Tcp:
    segments: int = 0
    samples: int = 0
    rtt_sum_us: int = 0
    rtt_min_us: int | None = None
    retransmits: int = 0

    def add(self, *, segments: int, samples: int, rtt_sum_us: int, rtt_min_us: int, retransmits: int) -> None:
        self.segments += segments
        self.samples += samples
        self.rtt_sum_us += rtt_sum_us
        self.retransmits += retransmits
        if samples:
            self.lower(rtt_min_us)

    def lower(self, rtt_min_us: int | None) -> None:
        """Take a minimum into account, where there is one."""
        if rtt_min_us is not None:
            self.rtt_min_us = rtt_min_us if self.rtt_min_us is None else min(self.rtt_min_us, rtt_min_us)


@dataclass(slots=True)
class _Path:
    at_ms: int = 0
    streams: int = 0
    tokens_per_second: float = 0.0
    sockets: set[_Socket] = field(default_factory=set)
    own: _Tcp | None = None


def join(batches: Iterable[TelemetryBatch]) -> list[PathSample]:
    """Return one sample per path that a gateway reports, in the order of their keys.

    Args:
        batches: the latest batch of each reporter, none of them stale.
    """
    kernel: dict[_Socket, _Tcp] = defaultdict(_Tcp)
    paths: dict[PathKey, _Path] = defaultdict(_Path)
    for batch in batches:
        match batch.reporter:
            case Reporter.AGENT:
                _add_kernel(kernel, batch.tcp)
            case Reporter.GATEWAY:
                _add_streams(paths, batch.streams, window_s=batch.window_ms / 1000)
    return [_sample(key, path, kernel) for key, path in sorted(paths.items())]


def _add_kernel(kernel: dict[_Socket, _Tcp], rows: TcpWindows) -> None:
    for row in range(len(rows)):
        if rows.direction[row] is not Direction.SERVED:
            continue
        socket = _Socket(
            rows.pod_namespace[row], rows.pod_name[row], rows.service_port[row], rows.destination_class[row]
        )
        kernel[socket].add(
            segments=rows.segments[row],
            samples=rows.samples[row],
            # Single samples carry the delayed acknowledgements of slow readers; the smoothed value forgets them.
            rtt_sum_us=rows.srtt_us[row] * rows.samples[row],
            rtt_min_us=rows.rtt_min_us[row],
            retransmits=rows.retransmits[row],
        )


def _add_streams(paths: dict[PathKey, _Path], rows: StreamWindows, *, window_s: float) -> None:
    for row in range(len(rows)):
        path = paths[PathKey(rows.tenant[row], rows.upstream[row], rows.destination_class[row])]
        path.at_ms = max(path.at_ms, rows.start_unix_ms[row])
        path.streams += rows.active_streams[row]
        path.tokens_per_second += rows.delivered_tokens[row] / window_s
        path.sockets.add(
            _Socket(rows.pod_namespace[row], rows.pod_name[row], rows.service_port[row], rows.destination_class[row])
        )
        if rows.srtt_us[row]:
            path.own = path.own or _Tcp()
            path.own.add(
                segments=rows.active_streams[row],
                samples=rows.active_streams[row],
                rtt_sum_us=rows.srtt_us[row] * rows.active_streams[row],
                rtt_min_us=rows.min_rtt_us[row],
                retransmits=rows.retransmits[row],
            )


def _sample(key: PathKey, path: _Path, kernel: dict[_Socket, _Tcp]) -> PathSample:
    seen = [kernel[socket] for socket in path.sockets if socket in kernel]
    tcp = _Tcp()
    for part in seen or ([path.own] if path.own else []):
        tcp.segments += part.segments
        tcp.samples += part.samples
        tcp.rtt_sum_us += part.rtt_sum_us
        tcp.retransmits += part.retransmits
        tcp.lower(part.rtt_min_us)
    if path.own:
        # The kernel keeps a connection's own minimum for minutes: a new leader learns the path's from it.
        tcp.lower(path.own.rtt_min_us)
    segments = tcp.segments + tcp.retransmits
    return PathSample(
        key=key,
        at_ms=path.at_ms,
        rtt_us=tcp.rtt_sum_us / tcp.samples if tcp.samples else None,
        rtt_min_us=None if tcp.rtt_min_us is None else float(tcp.rtt_min_us),
        # The gateway counts streams, not segments: without the kernel there is nothing to divide by.
        retransmit_ratio=tcp.retransmits / segments if seen and segments else None,
        delivered_tokens_per_second=path.tokens_per_second,
        active_streams=path.streams,
        missing=() if seen else (AGENT,),
    )
