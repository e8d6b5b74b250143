"""The last backend: the counters of one network namespace after the other, from /proc."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tokenflow_agent.sockets.namespaces import Survey, check_visible
from tokenflow_agent.sockets.procnet import counters
from tokenflow_agent.sockets.rotation import Rotation
from tokenflow_agent.sockets.visits import visit_each
from tokenflow_agent.tcp.reading import UNKNOWN_REMOTE, Harvest, Reading
from tokenflow_api.telemetry_agent import Ebpf
from tokenflow_api.windows import Direction


class TcpProc:
    """Reads as many namespaces per window as its share of a core allows.

    /proc counts segments for a namespace as a whole: neither ports nor directions nor round-trip times are shown.

    Args:
        networks: returns the network namespaces of the node.
        proc: the host's /proc.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        networks: Callable[[], Survey],
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = networks
        self._proc = proc
        self._rotation = Rotation(clock)
        self._counted: dict[int, dict[str, int]] = {}

    def follow(self, ebpf: Ebpf) -> None:
        """Nothing is attached, and nothing sampled."""

    async def harvest(self) -> Harvest:
        """Return what was counted in the namespaces whose turn it is.

        Raises:
            ProbeError: /proc may not be read any more.
        """
        return Harvest(readings=await asyncio.to_thread(self._read))

    def close(self) -> None:
        """Nothing is held."""

    def _read(self) -> list[Reading]:
        processes = self._networks().processes
        self._counted = {network: count for network, count in self._counted.items() if network in processes}
        counted = visit_each(self._rotation, processes, self._counters)
        found = [
            _reading(network, before, now)
            for network, now in counted.items()
            if (before := self._counted.get(network)) and before != now
        ]
        self._counted |= counted
        return found

    def _counters(self, _: int, pid: int) -> dict[str, int]:
        return counters(pid, "snmp", "Tcp", proc=self._proc)


def _reading(network: int, before: Mapping[str, int], now: Mapping[str, int]) -> Reading:
    def grown(name: str) -> int:
        return max(0, now[name] - before[name])

    return Reading(
        cgroup=0,
        network=network,
        remote=UNKNOWN_REMOTE,
        service_port=0,
        direction=Direction.SERVED,
        segments=grown("InSegs"),
        samples=0,
        rtt_sum_us=0,
        rtt_min_us=0,
        rtt_max_us=0,
        srtt_sum_us=0,
        rttvar_sum_us=0,
        retransmits=grown("RetransSegs"),
        sent=grown("OutSegs"),
        resets=grown("EstabResets"),
    )


async def open_proc(networks: Callable[[], Survey]) -> TcpProc:
    """Read from /proc.

    Raises:
        ProbeError: the node does not show the processes of pods.
    """
    check_visible(await asyncio.to_thread(networks))
    return TcpProc(networks)
