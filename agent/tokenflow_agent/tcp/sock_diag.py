"""The backend that asks the kernel for the connections of one network namespace after the other."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_agent.sockets.rotation import Rotation
from tokenflow_agent.sockets.sock_diag import Connection, SockDiag
from tokenflow_agent.sockets.tcp_info import TcpInfo
from tokenflow_agent.sockets.visits import check_entry, visit
from tokenflow_agent.tcp.histogram import BUCKETS, bucket
from tokenflow_agent.tcp.merging import merged
from tokenflow_agent.tcp.reading import Harvest, Reading
from tokenflow_api.telemetry_agent import Ebpf
from tokenflow_api.windows import Direction

_MAPPED: Final = bytes(10) + b"\xff\xff"
_IPV4_BYTES: Final = 15
"""Of an address, that its /24 consists of."""
_IPV6_BYTES: Final = 6
_COUNTER: Final = 0xFFFFFFFF
_RECOVERY: Final = 3
"""State of congestion control from which on a connection recovers from loss."""


class TcpSockDiag:
    """Reads as many namespaces per window as its share of a core allows.

    Counts are what has grown since a namespace's last turn; a connection that came and went in between is not seen.
    Its round-trip time is one sample: the kernel's smoothed one at that moment.

    Args:
        networks: returns the network namespaces of the node.
        clock: monotonic, in seconds.
    """

    def __init__(self, networks: Callable[[], Survey], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._networks = networks
        self._rotation = Rotation(clock)
        self._seen: dict[int, dict[int, TcpInfo]] = {}
        """By namespace, then by the connection's cookie."""
        self._left_out = 0

    def follow(self, ebpf: Ebpf) -> None:
        """Nothing is attached, and nothing sampled."""

    async def harvest(self) -> Harvest:
        """Return the connections of the namespaces whose turn it is.

        Raises:
            ProbeError: namespaces may not be entered any more, or the kernel has no sock_diag.
        """
        processes = await asyncio.to_thread(lambda: self._networks().processes)
        self._seen = {network: seen for network, seen in self._seen.items() if network in processes}
        self._left_out = 0
        visits = await visit(self._rotation, processes, self._read)
        return Harvest(
            readings=[reading for readings in visits.values() for reading in readings],
            lost={"SocketsFull": self._left_out},
        )

    def close(self) -> None:
        """Nothing is held."""

    def _read(self, network: int, diag: SockDiag) -> list[Reading]:
        listening = {listener.port for listener in diag.listeners()}
        connections = diag.connections()
        self._left_out += diag.left_out
        before = self._seen.get(network)
        self._seen[network] = {connection.cookie: connection.info for connection in connections}
        if before is None:
            return []  # since when they have what they have is not known
        paths: dict[tuple[object, ...], list[Reading]] = defaultdict(list)
        for connection in connections:
            known = before.get(connection.cookie)
            if connection.info != known:
                reading = _reading(network, connection, known, listening)
                paths[reading.cgroup, reading.remote, reading.service_port, reading.direction].append(reading)
        return [merged(readings) for readings in paths.values()]


def _reading(network: int, connection: Connection, before: TcpInfo | None, listening: AbstractSet[int]) -> Reading:
    now = connection.info
    served = _served(connection, listening)
    return Reading(
        cgroup=connection.cgroup,
        network=network,
        remote=_network(connection.peer),
        service_port=connection.port if served else connection.peer_port,
        direction=Direction.SERVED if served else Direction.DIALED,
        segments=_grown(now.segs_in, before and before.segs_in) or 0,
        samples=1 if now.rtt else 0,
        rtt_sum_us=now.rtt,
        rtt_min_us=min(now.rtt, now.min_rtt or now.rtt),
        rtt_max_us=now.rtt,
        srtt_sum_us=now.rtt,
        rttvar_sum_us=now.rttvar,
        retransmits=_grown(now.total_retrans, before and before.total_retrans) or 0,
        sent=_grown(now.segs_out, before and before.segs_out),
        spurious=_grown(now.dsack_dups, before and before.dsack_dups),
        out_of_order=_grown(now.rcv_ooopack, before and before.rcv_ooopack),
        connections=1,
        congested_connections=int(now.ca_state >= _RECOVERY),
        unsent_bytes=now.notsent_bytes,
        unread_bytes=connection.unread_bytes,
        delivery_sum=now.delivery_rate,
        delivery_samples=1 if now.delivery_rate else 0,
        rtt_buckets=_sample(bucket(now.rtt) if now.rtt else None),
    )


def _served(connection: Connection, listening: AbstractSet[int]) -> bool:
    """Tell whether the other side dialed; where nobody listens any more, servers mostly have the lower port."""
    return connection.port in listening or (
        connection.peer_port not in listening and connection.port <= connection.peer_port
    )


def _network(address: bytes) -> bytes:
    length = _IPV4_BYTES if address.startswith(_MAPPED) else _IPV6_BYTES
    return address[:length] + bytes(16 - length)


@lru_cache(maxsize=BUCKETS + 1)
def _sample(number: int | None) -> tuple[int, ...]:
    """Return the histogram of one sample in that bucket, or of none."""
    return tuple(int(each == number) for each in range(BUCKETS))


def _grown(now: int | None, before: int | None) -> int | None:
    """Return by how much a counter of 32 bits has grown; those of a socket that is connected anew start from 0."""
    if now is None:
        return None
    grown = now - (before or 0) & _COUNTER
    return grown if grown <= _COUNTER >> 1 else 0


async def open_sock_diag(networks: Callable[[], Survey]) -> TcpSockDiag:
    """Read by sock_diag.

    Raises:
        ProbeError: namespaces may not be entered, or the kernel has no sock_diag.
    """
    await check_entry()
    return TcpSockDiag(networks)
