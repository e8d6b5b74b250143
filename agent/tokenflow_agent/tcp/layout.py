"""The structs that ``program.c`` shares with the agent."""

import socket
import struct
from typing import Any, Final

from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_agent.tcp.reading import Reading
from tokenflow_api.windows import Direction

KEY: Final = struct.Struct("=Q8sIHBB")
VALUE: Final = struct.Struct(f"=4Q16I{BUCKETS * 4}s")
CONFIG: Final = struct.Struct("=II")
SLOT: Final = struct.Struct("=I")
_MAPPED: Final = bytes(10) + b"\xff\xff"
_HOST_BITS: Final = bytes(8)
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)


def reading(key: tuple[Any, ...], value: tuple[Any, ...]) -> Reading:
    """Return what an entry of the windows says, of ``struct key_t`` and ``struct value_t``."""
    cgroup, prefix, network, service_port, direction, family = key
    rtt_sum, srtt_sum, rttvar_sum, delivery_sum, delivery_samples, segments, sent, samples, *rest = value
    rtt_min, rtt_max, unsent, unread, retransmits, spurious, lost, out_of_order, *rest = rest
    resets, zero_windows, connections, congested, buckets = rest
    return Reading(
        cgroup=cgroup,
        remote=_MAPPED + prefix[:4] if family == socket.AF_INET else prefix + _HOST_BITS,
        service_port=service_port,
        direction=_DIRECTIONS[direction],
        segments=segments,
        samples=samples,
        rtt_sum_us=rtt_sum,
        rtt_min_us=rtt_min,
        rtt_max_us=rtt_max,
        srtt_sum_us=srtt_sum,
        rttvar_sum_us=rttvar_sum,
        retransmits=retransmits,
        rtt_buckets=memoryview(buckets).cast("I"),
        sent=sent,
        spurious=spurious,
        lost=lost,
        out_of_order=out_of_order,
        resets=resets,
        zero_windows=zero_windows,
        connections=connections,
        congested_connections=congested,
        unsent_bytes=unsent,
        unread_bytes=unread,
        delivery_sum=delivery_sum,
        delivery_samples=delivery_samples,
        network=network,
    )
