"""What a backend reads of the connections in one window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tokenflow_api.windows import Direction


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the kernel counted of one pod, direction, port and destination network.

    Attributes:
        cgroup: id of the pod's cgroup.
        remote: network of the other side: 16 bytes of IPv6, or IPv4 mapped into it.
        service_port: port of the listening side.
        direction: which side the pod is.
        segments: segments received, each with one round-trip time.
        rtt_sum_us: their sum, in microseconds.
        rtt_min_us: the least of them.
        rtt_max_us: the greatest of them.
        retransmits: segments sent again.
    """

    cgroup: int
    remote: bytes
    service_port: int
    direction: Direction
    segments: int
    rtt_sum_us: int
    rtt_min_us: int
    rtt_max_us: int
    retransmits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """One reading.

    Attributes:
        readings: what was counted since the last reading.
        events: kernel events since the last reading.
        lost: those of them that found the map full.
        map_usage_percent: how full the map was.
    """

    readings: Sequence[Reading]
    events: int
    lost: int
    map_usage_percent: float


class TcpReader(Protocol):
    """An opened backend."""

    async def harvest(self) -> Harvest:
        """Return what was counted since the last call.

        Raises:
            ProbeError: it cannot be read any more.
        """

    def close(self) -> None:
        """Let go of the kernel."""
