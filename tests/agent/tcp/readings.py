"""Readings made up for tests."""

from ipaddress import IPv6Address

from tokenflow_agent.tcp.histogram import BUCKETS, bucket
from tokenflow_agent.tcp.reading import Reading
from tokenflow_api.windows import Direction


def reading(number: int = 0, *, segments: int = 10, rtt_us: int = 100, retransmits: int = 1) -> Reading:
    """Return one of the ``number``-th network, each of whose segments had the same round-trip time."""
    buckets = [0] * BUCKETS
    buckets[bucket(rtt_us)] = segments
    return Reading(
        cgroup=1,
        network=2,
        remote=IPv6Address(f"::ffff:10.{number // 256}.{number % 256}.0").packed,
        service_port=8000,
        direction=Direction.SERVED,
        segments=segments,
        samples=segments,
        rtt_sum_us=segments * rtt_us,
        rtt_min_us=rtt_us if segments else 0,
        rtt_max_us=rtt_us if segments else 0,
        srtt_sum_us=segments * rtt_us,
        rttvar_sum_us=segments * 7,
        retransmits=retransmits,
        rtt_buckets=buckets,
        sent=segments + retransmits,
        spurious=0,
        lost=retransmits,
        out_of_order=3,
        resets=1,
        zero_windows=2,
        connections=1,
        congested_connections=1,
        unsent_bytes=100 * number,
        unread_bytes=10,
        delivery_sum=segments * 1000,
        delivery_samples=segments,
    )
