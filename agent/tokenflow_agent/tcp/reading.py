"""What a backend reads of the connections in one window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from tokenflow_api.telemetry_agent import Ebpf
from tokenflow_api.windows import Direction

UNKNOWN_REMOTE: Final = b""
"""Network of the other side where the backend cannot tell it."""


class Reading(NamedTuple):
    """What was counted of one cgroup, direction, port and destination network; ``None`` is what cannot be told.

    A tuple, because a busy node has thousands of them in each window; from ``rtt_sum_us`` to ``rtt_buckets`` its
    members are those of ``struct value_t`` in ``structs.h``, in the same order.

    Attributes:
        cgroup: id of the cgroup of the sockets.
        network: inode of the network namespace of the sockets; 0 where unknown.
        remote: network of the other side: 16 bytes of IPv6, or IPv4 mapped into it.
        service_port: port of the listening side.
        direction: which side the cgroup's sockets are.
        rtt_sum_us: sum of the round-trip times, in microseconds.
        srtt_sum_us: sum over the samples of the kernel's smoothed round-trip time.
        rttvar_sum_us: sum over the samples of its mean deviation.
        segments: segments received.
        samples: round-trip times measured.
        rtt_min_us: the least of them; 0 without samples.
        rtt_max_us: the greatest of them.
        retransmits: segments sent again.
        sent: segments sent.
        delivery_sum: sum of ``delivery_samples`` estimates of a connection's delivery rate, in bytes per second.
        delivery_samples: how many estimates there were.
        unsent_bytes: the most that one connection had waiting to be sent.
        unread_bytes: the most that one connection had waiting to be read.
        spurious: segments sent again for nothing.
        lost: segments taken for lost.
        out_of_order: segments received early.
        resets: connections reset, by either side.
        zero_windows: times that the other side's window closed.
        connections: those that had traffic.
        congested_connections: those of them in recovery or loss at their last segment.
        rtt_buckets: samples by bucket of ``tokenflow_agent.tcp.histogram``.
    """

    cgroup: int
    network: int
    remote: bytes
    service_port: int
    direction: Direction
    rtt_sum_us: int
    srtt_sum_us: int
    rttvar_sum_us: int
    segments: int
    samples: int
    rtt_min_us: int
    rtt_max_us: int
    retransmits: int
    sent: int | None = None
    delivery_sum: int | None = None
    delivery_samples: int | None = None
    unsent_bytes: int | None = None
    unread_bytes: int | None = None
    spurious: int | None = None
    lost: int | None = None
    out_of_order: int | None = None
    resets: int | None = None
    zero_windows: int | None = None
    connections: int | None = None
    congested_connections: int | None = None
    rtt_buckets: Sequence[int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """One reading.

    Attributes:
        readings: what was counted since the last reading.
        events: kernel events since the last reading.
        lost: those of them that were not counted, by reason.
        map_usage_percent: how full each kernel map was, by name.
        bpf_ns: time that programs in the kernel ran for them.
    """

    readings: Sequence[Reading]
    events: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    map_usage_percent: Mapping[str, float] = field(default_factory=dict)
    bpf_ns: int = 0


class TcpReader(Protocol):
    """An opened backend."""

    def follow(self, ebpf: Ebpf) -> None:
        """Read the probes that are asked for, sampled as asked: called before each window.

        Raises:
            ProbeError: it cannot be done on this node.
        """

    async def harvest(self) -> Harvest:
        """Return what was counted since the last call.

        Raises:
            ProbeError: it cannot be read any more.
        """

    def close(self) -> None:
        """Let go of the kernel."""
