"""Readings of one window as rows for the wire."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from tokenflow_agent.identity import Pod
from tokenflow_agent.tcp.histogram import quantiles
from tokenflow_agent.tcp.merging import merged
from tokenflow_agent.tcp.reading import UNKNOWN_REMOTE, Reading
from tokenflow_api.destinations import destination_class
from tokenflow_api.windows import MAX_ROWS, OTHER_CLASS, Direction, TcpWindows

MAX_CLASSES: Final = 512
"""Destination classes named per node and window, the busiest first; the rest count as one."""
_SHARES: Final = (0.5, 0.95, 0.99)


class RowKey(NamedTuple):
    """What a row is about."""

    pod: Pod
    direction: Direction
    service_port: int
    destination_class: str


def rows(readings: Iterable[tuple[Pod, Reading]]) -> dict[RowKey, Reading]:
    """Return one reading per pod, direction, port and class, in the order of the table.

    At most ``MAX_ROWS``, the busiest: a pod that scans ports must not crowd out the rest.
    """
    read = [(pod, _class(reading.remote), reading) for pod, reading in readings]
    volume: dict[str, int] = defaultdict(int)
    for _, name, reading in read:
        volume[name] += reading.segments
    named = set(sorted(volume, key=lambda name: (-volume[name], name))[:MAX_CLASSES])
    groups: dict[RowKey, list[Reading]] = defaultdict(list)
    for pod, name, reading in read:
        kept = name if name in named else OTHER_CLASS
        groups[RowKey(pod, reading.direction, reading.service_port, kept)].append(reading)
    found = {key: merged(group) for key, group in groups.items()}
    busiest = sorted(found, key=lambda key: -found[key].segments - found[key].retransmits)[:MAX_ROWS]
    return {key: found[key] for key in sorted(busiest, key=lambda key: (key.pod.uid, *key[1:]))}


def table(
    found: Mapping[RowKey, Reading], *, start_unix_ms: int, path_minimum: Callable[[RowKey], int | None]
) -> TcpWindows:
    """Return the rows of one window as a table.

    Args:
        found: of ``rows``.
        start_unix_ms: of the window.
        path_minimum: the least round-trip time of a row of late, in microseconds.
    """
    keys, values = list(found), list(found.values())
    buckets = (reading.rtt_buckets for reading in values)
    spread = [quantiles(each, _SHARES) if each is not None else [None] * len(_SHARES) for each in buckets]
    return TcpWindows(
        start_unix_ms=[start_unix_ms] * len(keys),
        pod_namespace=[key.pod.namespace for key in keys],
        pod_name=[key.pod.name for key in keys],
        pod_uid=[key.pod.uid for key in keys],
        direction=[key.direction for key in keys],
        service_port=[key.service_port for key in keys],
        destination_class=[key.destination_class for key in keys],
        segments=[reading.segments for reading in values],
        samples=[reading.samples for reading in values],
        rtt_sum_us=[reading.rtt_sum_us for reading in values],
        rtt_min_us=[reading.rtt_min_us for reading in values],
        rtt_max_us=[reading.rtt_max_us for reading in values],
        rtt_p50_us=[each[0] for each in spread],
        rtt_p95_us=[each[1] for each in spread],
        rtt_p99_us=[each[2] for each in spread],
        srtt_us=[reading.srtt_sum_us // max(1, reading.samples) for reading in values],
        rttvar_us=[reading.rttvar_sum_us // max(1, reading.samples) for reading in values],
        path_min_rtt_us=[path_minimum(key) or 0 for key in keys],
        sent=[reading.sent for reading in values],
        retransmits=[reading.retransmits for reading in values],
        spurious=[reading.spurious for reading in values],
        lost=[reading.lost for reading in values],
        out_of_order=[reading.out_of_order for reading in values],
        resets=[reading.resets for reading in values],
        zero_windows=[reading.zero_windows for reading in values],
        connections=[reading.connections for reading in values],
        congested_connections=[reading.congested_connections for reading in values],
        unsent_bytes=[reading.unsent_bytes for reading in values],
        unread_bytes=[reading.unread_bytes for reading in values],
        delivery_bytes_per_second=[_delivery(reading) for reading in values],
    )


def _delivery(reading: Reading) -> int | None:
    """Return the mean delivery rate; none was estimated where no segment was acknowledged."""
    if reading.delivery_sum is None or not reading.delivery_samples:
        return None
    return reading.delivery_sum // reading.delivery_samples


@lru_cache(maxsize=4096)
def _class(remote: bytes) -> str:
    return OTHER_CLASS if remote == UNKNOWN_REMOTE else destination_class(str(IPv6Address(remote)))
