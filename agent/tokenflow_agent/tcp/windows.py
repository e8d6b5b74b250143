"""Readings of one window as rows for the wire."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from tokenflow_agent.identity import Pod
from tokenflow_agent.tcp.reading import Reading
from tokenflow_api.destinations import destination_class
from tokenflow_api.windows import MAX_ROWS, OTHER_CLASS, Direction, TcpWindows

MAX_CLASSES: Final = 512
"""Destination classes named per node and window, the busiest first; the rest count as one."""


_UNREAD: Final = (
    "rtt_p50_us",
    "rtt_p95_us",
    "rtt_p99_us",
    "sent",
    "spurious",
    "lost",
    "out_of_order",
    "resets",
    "zero_windows",
    "connections",
    "congested_connections",
    "unsent_bytes",
    "unread_bytes",
    "delivery_bytes_per_second",
)


@dataclass(slots=True)
class _Row:
    segments: int = 0
    rtt_sum_us: int = 0
    rtt_min_us: int = 0
    rtt_max_us: int = 0
    retransmits: int = 0

    def add(self, reading: Reading) -> None:
        if reading.segments:
            least = reading.rtt_min_us
            self.rtt_min_us = min(self.rtt_min_us, least) if self.segments else least
            self.rtt_max_us = max(self.rtt_max_us, reading.rtt_max_us)
        self.segments += reading.segments
        self.rtt_sum_us += reading.rtt_sum_us
        self.retransmits += reading.retransmits


def table(readings: Iterable[tuple[Pod, Reading]], *, start_unix_ms: int) -> TcpWindows:
    """Return the readings of one window as a table, one row per pod, direction, port and class.

    At most ``MAX_ROWS`` rows, the busiest: a pod that scans ports must not crowd out the rest.
    """
    read = list(readings)
    volume: dict[str, int] = defaultdict(int)
    for _, reading in read:
        volume[_class(reading)] += reading.segments
    named = set(sorted(volume, key=lambda name: (-volume[name], name))[:MAX_CLASSES])
    rows: dict[tuple[Pod, Direction, int, str], _Row] = defaultdict(_Row)
    for pod, reading in read:
        name = _class(reading)
        kept = name if name in named else OTHER_CLASS
        rows[pod, reading.direction, reading.service_port, kept].add(reading)
    busiest = sorted(rows.items(), key=lambda item: -item[1].segments - item[1].retransmits)[:MAX_ROWS]
    ordered = sorted(busiest, key=lambda item: (item[0][0].uid, item[0][1], item[0][2], item[0][3]))
    return TcpWindows(
        start_unix_ms=[start_unix_ms] * len(ordered),
        pod_namespace=[key[0].namespace for key, _ in ordered],
        pod_name=[key[0].name for key, _ in ordered],
        pod_uid=[key[0].uid for key, _ in ordered],
        direction=[key[1] for key, _ in ordered],
        service_port=[key[2] for key, _ in ordered],
        destination_class=[key[3] for key, _ in ordered],
        segments=[row.segments for _, row in ordered],
        rtt_sum_us=[row.rtt_sum_us for _, row in ordered],
        rtt_min_us=[row.rtt_min_us for _, row in ordered],
        rtt_max_us=[row.rtt_max_us for _, row in ordered],
        retransmits=[row.retransmits for _, row in ordered],
        samples=[row.segments for _, row in ordered],
        srtt_us=[row.rtt_sum_us // row.segments if row.segments else 0 for _, row in ordered],
        rttvar_us=[0] * len(ordered),
        path_min_rtt_us=[row.rtt_min_us for _, row in ordered],
        **dict.fromkeys(_UNREAD, [None] * len(ordered)),
    )


def _class(reading: Reading) -> str:
    return destination_class(str(IPv6Address(reading.remote)))
