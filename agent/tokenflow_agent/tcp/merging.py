"""Two readings as one: a pod has several containers, and a class several networks."""

from tokenflow_agent.tcp import histogram
from tokenflow_agent.tcp.reading import Reading


def merged(one: Reading, other: Reading) -> Reading:
    """Return both readings as one that keeps the names of the first.

    What either of them cannot tell, the result cannot. Apart from the names, order does not matter.
    """
    return Reading(
        cgroup=one.cgroup,
        remote=one.remote,
        service_port=one.service_port,
        direction=one.direction,
        segments=one.segments + other.segments,
        samples=one.samples + other.samples,
        rtt_sum_us=one.rtt_sum_us + other.rtt_sum_us,
        rtt_min_us=min((each.rtt_min_us for each in (one, other) if each.samples), default=0),
        rtt_max_us=max(one.rtt_max_us, other.rtt_max_us),
        srtt_sum_us=one.srtt_sum_us + other.srtt_sum_us,
        rttvar_sum_us=one.rttvar_sum_us + other.rttvar_sum_us,
        retransmits=one.retransmits + other.retransmits,
        rtt_buckets=(
            None
            if one.rtt_buckets is None or other.rtt_buckets is None
            else histogram.merged(one.rtt_buckets, other.rtt_buckets)
        ),
        sent=_sum(one.sent, other.sent),
        spurious=_sum(one.spurious, other.spurious),
        lost=_sum(one.lost, other.lost),
        out_of_order=_sum(one.out_of_order, other.out_of_order),
        resets=_sum(one.resets, other.resets),
        zero_windows=_sum(one.zero_windows, other.zero_windows),
        connections=_sum(one.connections, other.connections),
        congested_connections=_sum(one.congested_connections, other.congested_connections),
        unsent_bytes=_most(one.unsent_bytes, other.unsent_bytes),
        unread_bytes=_most(one.unread_bytes, other.unread_bytes),
        delivery_sum=_sum(one.delivery_sum, other.delivery_sum),
        delivery_samples=one.delivery_samples + other.delivery_samples,
        network=one.network,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _most(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
