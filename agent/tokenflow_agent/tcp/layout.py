"""The structs that ``program.c`` shares with the agent."""

import struct
from typing import Any, Final

from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_agent.tcp.reading import Reading
from tokenflow_api.windows import Direction

KEY: Final = struct.Struct("=Q16sHBxI")
VALUE: Final = struct.Struct(f"=4Q16I{BUCKETS * 4}s")
CONFIG: Final = struct.Struct("=II")
SLOT: Final = struct.Struct("=I")
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)


def reading(key: tuple[Any, ...], value: tuple[Any, ...]) -> Reading:
    """Return what an entry of the windows says, of ``struct key_t`` and ``struct value_t``."""
    cgroup, remote, service_port, direction, network = key
    rtt_sum, srtt_sum, rttvar_sum, delivery_sum, delivery_samples, segments, samples, *rest = value
    rtt_min, rtt_max, retransmits, sent, spurious, lost, out_of_order, resets, zero_windows, *rest = rest
    connections, congested, unsent, unread, buckets = rest
    return Reading(
        cgroup=cgroup,
        remote=remote,
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
