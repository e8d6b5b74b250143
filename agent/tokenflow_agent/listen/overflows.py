"""Says which listening socket overflowed: the kernel counts that by network namespace only."""

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.listen.reading import Reading
from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_agent.sockets.procnet import counters

_MAX_NETWORKS: Final = 4096


class Overflows:
    """How often queues of a network namespace were found full.

    Args:
        networks: returns the namespaces with a process of each.
        proc: the host's /proc.
    """

    def __init__(self, networks: Callable[[], Survey], *, proc: Path = Path("/proc")) -> None:
        self._networks = networks
        self._proc = proc
        self._counted: dict[int, int] = {}

    def must_read(self, readings: Iterable[Reading]) -> bool:
        """Tell whether ``attribute`` would read a namespace."""
        return any(reading.drops or reading.network not in self._counted for reading in readings)

    def attribute(self, readings: Iterable[Reading]) -> list[Reading]:
        """Return the readings with the overflows of each socket, as far as they can be told.

        A namespace is read where something was turned away, and when it is met for the first time.
        """
        ordered = sorted(readings, key=_network)
        found: list[Reading] = []
        for network, group in groupby(ordered, _network):
            sockets = list(group)
            grown = self._grown(network) if self.must_read(sockets) else None
            found.extend(share(grown, sockets))
        return found

    def _grown(self, network: int) -> int | None:
        """Return by how much the count has grown; ``None`` at first, and where it cannot be read."""
        pid = self._networks().processes.get(network)
        if pid is None:
            return None
        try:
            now = counters(pid, "netstat", "TcpExt", proc=self._proc)["ListenOverflows"]
        except (ProbeError, KeyError):
            return None  # the process ended, or the kernel does not count: it is told as None
        before = self._counted.pop(network, None)
        self._counted[network] = now
        if len(self._counted) > _MAX_NETWORKS:
            del self._counted[next(iter(self._counted))]
        return now - before if before is not None and now >= before else None


def share(overflows: int | None, sockets: list[Reading]) -> list[Reading]:
    """Return the sockets of one namespace with their parts of its overflows.

    Each overflow is a drop too. So they are known where all drops were overflows, and where one socket alone
    dropped; else they cannot be told apart.
    """
    dropping = [socket for socket in sockets if socket.drops]
    all_of_them = overflows is not None and overflows >= sum(socket.drops or 0 for socket in dropping)

    def part(socket: Reading) -> int | None:
        if not socket.drops:
            return socket.drops
        if all_of_them:
            return socket.drops
        return overflows if len(dropping) == 1 else None

    return [socket._replace(overflows=part(socket)) for socket in sockets]


def _network(reading: Reading) -> int:
    return reading.network
