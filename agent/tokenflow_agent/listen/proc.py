"""The last backend: what /proc shows of one network namespace after the other."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tokenflow_agent.listen.reading import Harvest, Reading
from tokenflow_agent.sockets.namespaces import Survey, check_visible
from tokenflow_agent.sockets.procnet import ListeningPort, counters, listening_ports
from tokenflow_agent.sockets.rotation import Rotation
from tokenflow_agent.sockets.visits import visit_each

_DROPS: Final = "ListenDrops"
_OVERFLOWS: Final = "ListenOverflows"


class ListenProc:
    """Reads as many namespaces per window as its share of a core allows.

    /proc shows neither limits nor cgroups, and counts what was turned away by namespace.

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

    async def harvest(self) -> Harvest:
        """Return what waits in the namespaces whose turn it is.

        Raises:
            ProbeError: /proc may not be read any more.
        """
        return Harvest(readings=await asyncio.to_thread(self._read))

    def close(self) -> None:
        """Nothing is held."""

    def _read(self) -> list[Reading]:
        processes = self._networks().processes
        self._counted = {network: count for network, count in self._counted.items() if network in processes}
        visits = visit_each(self._rotation, processes, self._visit)
        found = [
            reading
            for network, (ports, counted) in visits.items()
            for reading in _readings(network, ports, self._counted.get(network), counted)
        ]
        self._counted |= {network: counted for network, (_, counted) in visits.items()}
        return found

    def _visit(self, _: int, pid: int) -> tuple[list[ListeningPort], dict[str, int]]:
        return listening_ports(pid, proc=self._proc), counters(pid, "netstat", "TcpExt", proc=self._proc)


def _readings(
    network: int, ports: list[ListeningPort], before: Mapping[str, int] | None, now: Mapping[str, int]
) -> list[Reading]:
    """Return the listening sockets of a namespace.

    What the namespace turned away is told of its only socket, or of the only one where somebody waits.
    """
    drops, overflows = (
        now[name] - before[name] if before and name in before and name in now else None for name in (_DROPS, _OVERFLOWS)
    )
    suspects = [port for port in ports if port.backlog] if len(ports) > 1 else ports

    def turned_away(port: ListeningPort, number: int | None) -> int | None:
        if not number:
            return number
        if len(suspects) != 1:
            return None
        return number if port in suspects else 0

    return [
        Reading(
            cgroup=0,
            network=network,
            port=port.port,
            backlog=port.backlog,
            drops=turned_away(port, drops),
            overflows=turned_away(port, overflows),
        )
        for port in ports
    ]


async def open_proc(networks: Callable[[], Survey]) -> ListenProc:
    """Read from /proc.

    Raises:
        ProbeError: the node does not show the processes of pods.
    """
    check_visible(await asyncio.to_thread(networks))
    return ListenProc(networks)
