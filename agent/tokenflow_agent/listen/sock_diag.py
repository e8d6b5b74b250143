"""The backend that asks the kernel for the listening sockets of one network namespace after the other."""

import asyncio
import time
from collections.abc import Callable

from tokenflow_agent.listen.overflows import Overflows
from tokenflow_agent.listen.reading import Harvest, Reading
from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_agent.sockets.rotation import Rotation
from tokenflow_agent.sockets.sock_diag import Listener
from tokenflow_agent.sockets.visits import check_entry, visit


class ListenSockDiag:
    """Reads as many namespaces per window as its share of a core allows.

    Args:
        networks: returns the network namespaces of the node.
        clock: monotonic, in seconds.
    """

    def __init__(self, networks: Callable[[], Survey], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._networks = networks
        self._rotation = Rotation(clock)
        self._overflows = Overflows(networks)
        self._drops: dict[int, dict[int, int]] = {}
        """By namespace, then by the socket's cookie."""

    async def harvest(self) -> Harvest:
        """Return the listening sockets of the namespaces whose turn it is.

        Raises:
            ProbeError: namespaces may not be entered any more, or the kernel has no sock_diag.
        """
        processes = await asyncio.to_thread(lambda: self._networks().processes)
        self._drops = {network: drops for network, drops in self._drops.items() if network in processes}
        visits = await visit(self._rotation, processes, lambda _, diag: diag.listeners())
        readings = [self._reading(network, one) for network, listeners in visits.items() for one in listeners]
        self._drops |= {
            network: {one.cookie: one.drops for one in listeners if one.drops is not None}
            for network, listeners in visits.items()
        }
        return Harvest(readings=await asyncio.to_thread(self._overflows.attribute, readings))

    def close(self) -> None:
        """Nothing is held."""

    def _reading(self, network: int, listener: Listener) -> Reading:
        seen = self._drops.get(network)
        before = seen.get(listener.cookie, 0) if seen is not None else listener.drops
        return Reading(
            cgroup=listener.cgroup,
            network=network,
            port=listener.port,
            backlog=listener.backlog,
            limit=listener.limit,
            drops=None if listener.drops is None or before is None else listener.drops - before,
        )


async def open_sock_diag(networks: Callable[[], Survey]) -> ListenSockDiag:
    """Read by sock_diag.

    Raises:
        ProbeError: namespaces may not be entered, or the kernel has no sock_diag.
    """
    await check_entry()
    return ListenSockDiag(networks)
