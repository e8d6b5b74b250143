"""What the law needs of a batch, worked out once per batch: a leader sees each of them in several rounds."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import Direction, HttpWindows, ListenWindows, StreamWindows, TcpWindows
from tokenflow_hintsvc.decide.figures import least
from tokenflow_hintsvc.decide.nodes import node_sample
from tokenflow_hintsvc.decide.requests import Requests
from tokenflow_hintsvc.decide.samples import NodeSample, PathKey, Port, Socket


@dataclass(slots=True)
class Kernel:
    """What a kernel saw of one socket's connections in one window; counts as in ``TcpWindows``.

    ``rtt_sum_us`` is the typical round-trip time of a sample times their number, ``smoothed_sum_us`` the kernel's
    smoothed one.
    """

    at_ms: int = 0
    samples: int = 0
    rtt_sum_us: int = 0
    smoothed_sum_us: int = 0
    rtt_min_us: float | None = None
    sent: int = 0
    retransmits: int = 0
    connections: int | None = 0

    def add(self, other: "Kernel") -> None:
        """Take in what another row says of the same socket."""
        self.at_ms = max(self.at_ms, other.at_ms)
        self.samples += other.samples
        self.rtt_sum_us += other.rtt_sum_us
        self.smoothed_sum_us += other.smoothed_sum_us
        self.rtt_min_us = least((self.rtt_min_us, other.rtt_min_us))
        self.sent += other.sent
        self.retransmits += other.retransmits
        both_known = self.connections is not None and other.connections is not None
        self.connections = (self.connections or 0) + (other.connections or 0) if both_known else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Streams:
    """What a gateway saw of one path's streams at one of its sockets; counts as in ``StreamWindows``."""

    key: PathKey
    socket: Socket
    at_ms: int
    active: int
    tokens_per_second: float
    bytes_per_second: float
    unsent_bytes: int
    srtt_us: int
    min_rtt_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """One batch, indexed by what the join looks for.

    Attributes:
        kernel: connections that pods serve.
        streams: of a gateway.
        backlogs: fullest that a port's accept queue was, as a share of its limit.
        requests: answered at a port.
        node: the node as a whole, where an agent reports.
        gateway: name of the pod, where a gateway does.
    """

    kernel: Mapping[Socket, Kernel] = field(default_factory=dict)
    streams: tuple[Streams, ...] = ()
    backlogs: Mapping[Port, float] = field(default_factory=dict)
    requests: Mapping[Port, Requests] = field(default_factory=dict)
    node: NodeSample | None = None
    gateway: str = ""


def digest(batch: TelemetryBatch) -> Digest:
    """Return what a batch says; of an agent's, nothing that only a gateway may say, and the other way round."""
    if batch.reporter is Reporter.GATEWAY:
        return Digest(
            streams=_streams(batch.streams, window_s=batch.window_ms / 1000, offset_ms=batch.clock_offset_ms),
            gateway=batch.node,
        )
    return Digest(
        kernel=_kernel(batch.tcp, offset_ms=batch.clock_offset_ms),
        backlogs=_backlogs(batch.listen),
        requests=_requests(batch.http),
        node=node_sample(batch),
    )


def _kernel(rows: TcpWindows, *, offset_ms: int) -> dict[Socket, Kernel]:
    found: defaultdict[Socket, Kernel] = defaultdict(Kernel)
    for row in range(len(rows)):
        if rows.direction[row] is not Direction.SERVED:
            continue
        port = Port(rows.pod_namespace[row], rows.pod_name[row], rows.service_port[row])
        samples, sent = rows.samples[row], rows.sent[row]
        found[Socket(port, rows.destination_class[row])].add(
            Kernel(
                at_ms=rows.start_unix_ms[row] + offset_ms,
                samples=samples,
                # The median forgets the acknowledgements that a slow reader delayed; not every backend has it.
                rtt_sum_us=(rows.rtt_p50_us[row] or 0) * samples or rows.rtt_sum_us[row],
                smoothed_sum_us=rows.srtt_us[row] * samples,
                rtt_min_us=rows.rtt_min_us[row] if samples else None,
                # Where segments sent are not counted, those received stand in: about one answers each.
                sent=rows.segments[row] + rows.retransmits[row] if sent is None else sent,
                retransmits=rows.retransmits[row],
                connections=rows.connections[row],
            )
        )
    return dict(found)


def _streams(rows: StreamWindows, *, window_s: float, offset_ms: int) -> tuple[Streams, ...]:
    return tuple(
        Streams(
            key=PathKey(rows.tenant[row], rows.upstream[row], rows.destination_class[row]),
            socket=Socket(
                Port(rows.pod_namespace[row], rows.pod_name[row], rows.service_port[row]), rows.destination_class[row]
            ),
            at_ms=rows.start_unix_ms[row] + offset_ms,
            active=rows.active_streams[row],
            tokens_per_second=rows.delivered_tokens[row] / window_s,
            bytes_per_second=rows.delivered_bytes[row] / window_s,
            unsent_bytes=rows.unsent_bytes[row],
            srtt_us=rows.srtt_us[row],
            min_rtt_us=rows.min_rtt_us[row],
        )
        for row in range(len(rows))
    )


def _backlogs(rows: ListenWindows) -> dict[Port, float]:
    found: dict[Port, float] = {}
    for row in range(len(rows)):
        limit = rows.backlog_limit[row]
        if limit:
            port = Port(rows.pod_namespace[row], rows.pod_name[row], rows.service_port[row])
            found[port] = max(found.get(port, 0.0), rows.backlog[row] / limit)
    return found


def _requests(rows: HttpWindows) -> dict[Port, Requests]:
    found: defaultdict[Port, Requests] = defaultdict(Requests)
    for row in range(len(rows)):
        if rows.direction[row] is Direction.SERVED:
            port = Port(rows.pod_namespace[row], rows.pod_name[row], rows.service_port[row])
            found[port].read(rows, row)
    return dict(found)
