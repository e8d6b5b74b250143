"""Joins what the agents' kernels and the gateways' sockets say of the same path.

The kernel knows no tenant, and the gateway sees no more than its own sockets: rows of the same gateway pod,
port and destination class speak of the same connections. The kernel's rows are the fresher ones, but they hold
all connections of the class: probes of a kubelet next door, with round trips of nearly nothing, would hide a
queue. They count only where there were no more connections than streams; elsewhere the gateway's own sockets do.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tokenflow_hintsvc.decide.digest import Digest, Kernel, Streams
from tokenflow_hintsvc.decide.figures import greatest, least
from tokenflow_hintsvc.decide.requests import Requests
from tokenflow_hintsvc.decide.samples import AGENT, GATEWAY, NodeSample, PathKey, PathSample, Port, Socket


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that was seen of late.

    Attributes:
        paths: a sample per path, in the order of their keys.
        nodes: a sample per node.
        reporters: agents and gateways that were heard.
    """

    paths: Sequence[PathSample] = ()
    nodes: Sequence[NodeSample] = ()
    reporters: int = 0


@dataclass(slots=True)
class _Ports:
    """What agents say of pods' ports."""

    kernel: dict[Socket, Kernel] = field(default_factory=dict)
    backlogs: dict[Port, float] = field(default_factory=dict)
    requests: dict[Port, Requests] = field(default_factory=dict)


def join(digests: Iterable[Digest], *, known: Mapping[PathKey, Collection[Socket]]) -> Seen:
    """Return a sample per path and per node.

    Args:
        digests: of the latest batch of each reporter, none of them stale.
        known: where the streams of each path ended when a gateway last reported it. Where that gateway is not heard
            and agents still see the socket, the path goes on, marked with the missing side; connections that no
            gateway ever spoke for belong to no tenant, and count for their node alone.
    """
    ports = _Ports()
    streams: defaultdict[PathKey, list[Streams]] = defaultdict(list)
    nodes = []
    reporters = 0
    gateways = set()
    for digest in digests:
        reporters += 1
        gateways.add(digest.gateway)
        for socket, row in digest.kernel.items():
            ports.kernel[socket] = _together(ports.kernel.get(socket), row)
        ports.backlogs.update(digest.backlogs)
        ports.requests.update(digest.requests)
        for rows in digest.streams:
            streams[rows.key].append(rows)
        if digest.node is not None:
            nodes.append(digest.node)
    open_streams: Counter[Socket] = Counter()
    for reported in streams.values():
        for rows in reported:
            open_streams[rows.socket] += rows.active
    orphans = {
        key: [socket for socket in sockets if socket in ports.kernel and socket.port.pod not in gateways]
        for key, sockets in known.items()
        if key not in streams
    }
    samples = [_joined(key, reported, ports, open_streams) for key, reported in streams.items()]
    samples += [_kernels_alone(key, sockets, ports) for key, sockets in orphans.items() if sockets]
    return Seen(paths=sorted(samples, key=lambda sample: sample.key), nodes=nodes, reporters=reporters)


def _together(one: Kernel | None, other: Kernel) -> Kernel:
    """Return two rows of a socket as one; neither argument changes, for both outlive the round."""
    if one is None:
        return other
    both = Kernel()
    both.add(one)
    both.add(other)
    return both


def _joined(key: PathKey, reported: Sequence[Streams], ports: _Ports, open_streams: Mapping[Socket, int]) -> PathSample:
    sockets = frozenset(rows.socket for rows in reported)
    seen = {socket: ports.kernel[socket] for socket in sockets if socket in ports.kernel}
    trips = _RoundTrips()
    for rows in reported:
        row = seen.get(rows.socket)
        if row is not None and _streams_alone(row, open_streams[rows.socket]):
            trips.add(row.rtt_sum_us / row.samples, row.rtt_min_us, weight=rows.active)
        elif rows.bytes_per_second and rows.srtt_us:
            # Without an acknowledgement the smoothed value is of an earlier window.
            trips.add(float(rows.srtt_us), rows.srtt_us, weight=rows.active)
    listening = {socket.port for socket in sockets}
    requests = _requests(listening, ports)
    return PathSample(
        key=key,
        at_ms=max(rows.at_ms for rows in reported),
        rtt_us=trips.mean_us,
        rtt_min_us=trips.least_us,
        retransmit_ratio=_retransmit_ratio(seen.values()),
        backlog_ratio=_backlog_ratio(listening, ports),
        http_p99_us=requests.slowest_us,
        http_error_ratio=requests.error_ratio,
        delivered_tokens_per_second=sum(rows.tokens_per_second for rows in reported),
        delivered_bytes_per_second=sum(rows.bytes_per_second for rows in reported),
        unsent_bytes=sum(rows.unsent_bytes for rows in reported),
        remembered_min_us=least(rows.min_rtt_us or None for rows in reported),
        active_streams=sum(rows.active for rows in reported),
        sockets=sockets,
        missing=() if seen else (AGENT,),
    )


def _kernels_alone(key: PathKey, sockets: Sequence[Socket], ports: _Ports) -> PathSample:
    rows = [ports.kernel[socket] for socket in sockets]
    trips = _RoundTrips()
    for row in rows:
        if row.samples:
            # Whose connections they are is not known, so that single samples may be anybody's.
            trips.add(row.smoothed_sum_us / row.samples, row.rtt_min_us, weight=row.samples)
    listening = {socket.port for socket in sockets}
    requests = _requests(listening, ports)
    return PathSample(
        key=key,
        at_ms=max(row.at_ms for row in rows),
        rtt_us=trips.mean_us,
        rtt_min_us=trips.least_us,
        retransmit_ratio=_retransmit_ratio(rows),
        backlog_ratio=_backlog_ratio(listening, ports),
        http_p99_us=requests.slowest_us,
        http_error_ratio=requests.error_ratio,
        delivered_tokens_per_second=None,
        active_streams=0,
        sockets=frozenset(sockets),
        missing=(GATEWAY,),
    )


@dataclass(slots=True)
class _RoundTrips:
    """A weighed mean, and the least."""

    sum_us: float = 0.0
    weight: int = 0
    least_us: float | None = None

    @property
    def mean_us(self) -> float | None:
        return self.sum_us / self.weight if self.weight else None

    def add(self, mean_us: float, least_us: float | None, *, weight: int) -> None:
        self.sum_us += mean_us * max(1, weight)
        self.weight += max(1, weight)
        self.least_us = least((self.least_us, least_us))


def _streams_alone(row: Kernel, open_streams: int) -> bool:
    """Whether the kernel's samples are those of streams, with none of anybody else's among them."""
    return bool(row.samples) and row.connections is not None and row.connections <= open_streams


def _retransmit_ratio(rows: Iterable[Kernel]) -> float | None:
    sent = retransmits = 0
    for row in rows:
        sent += row.sent
        retransmits += row.retransmits
    return min(1.0, retransmits / sent) if sent else None


def _backlog_ratio(listening: Iterable[Port], ports: _Ports) -> float | None:
    return greatest(ports.backlogs.get(port) for port in listening)


def _requests(listening: Iterable[Port], ports: _Ports) -> Requests:
    requests = Requests()
    for port in listening:
        if port in ports.requests:
            requests.add(ports.requests[port])
    return requests
