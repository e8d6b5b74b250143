"""Finds queues that were full before anything was attached: nothing happens to them that the kernel would tell."""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.listen.reading import Reading
from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_agent.sockets.procnet import ListeningPort, listening_ports
from tokenflow_agent.sockets.rotation import Rotation


class Waiting:
    """Looks at each network namespace once, and again as long as somebody waits there.

    Args:
        networks: returns the network namespaces of the node.
        clock: monotonic, in seconds.
    """

    def __init__(self, networks: Callable[[], Survey], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._networks = networks
        self._rotation = Rotation(clock)
        self._pending: set[int] | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to look at."""
        return self._pending is not None and not self._pending

    def since_before(self, known: AbstractSet[tuple[int, int]]) -> list[Reading]:
        """Return the queues that are not empty, other than those ``known`` by namespace and port.

        Their limits cannot be told. Not all namespaces are looked at in one call.
        """
        processes = self._networks().processes
        if self._pending is None:
            self._pending = set(processes)
        pending = {network: pid for network, pid in processes.items() if network in self._pending}
        found: list[Reading] = []
        done = self._pending - pending.keys()
        for network, pid in self._rotation.turn(pending):
            waiting = [
                Reading(cgroup=0, network=network, port=port, backlog=backlog)
                for port, backlog in _ports(pid)
                if backlog and (network, port) not in known
            ]
            found += waiting
            if not waiting:
                done.add(network)
        self._pending -= done
        return found


def _ports(pid: int) -> list[ListeningPort]:
    try:
        return listening_ports(pid)
    except ProbeError:
        return []  # it ended, or its node shows no processes: there is nothing to find then
