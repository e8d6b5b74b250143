"""Several readings as one: a pod has several containers, and a class several networks."""

from collections.abc import Sequence

from tokenflow_agent.tcp import histogram
from tokenflow_agent.tcp.reading import Reading


def merged(readings: Sequence[Reading]) -> Reading:
    """Return one or more readings as one that keeps the names of the first.

    What one of them cannot tell, the result cannot. Apart from the names, order does not matter.
    """
    first = readings[0]
    if len(readings) == 1:
        return first
    return Reading(
        cgroup=first.cgroup,
        network=first.network,
        remote=first.remote,
        service_port=first.service_port,
        direction=first.direction,
        rtt_sum_us=sum(each.rtt_sum_us for each in readings),
        srtt_sum_us=sum(each.srtt_sum_us for each in readings),
        rttvar_sum_us=sum(each.rttvar_sum_us for each in readings),
        segments=sum(each.segments for each in readings),
        samples=sum(each.samples for each in readings),
        rtt_min_us=min((each.rtt_min_us for each in readings if each.samples), default=0),
        rtt_max_us=max(each.rtt_max_us for each in readings),
        retransmits=sum(each.retransmits for each in readings),
        sent=_sum([each.sent for each in readings]),
        delivery_sum=_sum([each.delivery_sum for each in readings]),
        delivery_samples=_sum([each.delivery_samples for each in readings]),
        unsent_bytes=_most([each.unsent_bytes for each in readings]),
        unread_bytes=_most([each.unread_bytes for each in readings]),
        spurious=_sum([each.spurious for each in readings]),
        lost=_sum([each.lost for each in readings]),
        out_of_order=_sum([each.out_of_order for each in readings]),
        resets=_sum([each.resets for each in readings]),
        zero_windows=_sum([each.zero_windows for each in readings]),
        connections=_sum([each.connections for each in readings]),
        congested_connections=_sum([each.congested_connections for each in readings]),
        rtt_buckets=_together([each.rtt_buckets for each in readings]),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _most(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _together(values: Sequence[Sequence[int] | None]) -> Sequence[int] | None:
    known = [value for value in values if value is not None]
    return histogram.merged(known) if len(known) == len(values) else None
