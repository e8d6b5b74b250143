"""Which pod a network namespace belongs to: the one whose processes are in it."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from tokenflow_agent.identity.pace import Pace
from tokenflow_agent.identity.paths import Place, place_of_process
from tokenflow_agent.identity.tombstones import Tombstones
from tokenflow_agent.sockets.namespaces import Survey, network_of, survey

_INIT: Final = 1


class PodNetworks:
    """The network namespaces of a node; looks again when an unknown one turns up.

    Args:
        proc: the host's /proc.
        clock: monotonic, in seconds.
    """

    def __init__(self, *, proc: Path, clock: Callable[[], float]) -> None:
        self._proc = proc
        self._clock = clock
        self._pace = Pace(clock)
        self._survey = Survey({}, 0)
        self._places = Tombstones[int, Place | None]()
        self._read: dict[tuple[int, int], Place | None] = {}

    def due(self, networks: AbstractSet[int]) -> bool:
        """Tell whether ``places`` would look at the node for those namespaces."""
        return bool(networks) and self._pace.due(wanted=not networks <= self._survey.processes.keys())

    def places(self, networks: AbstractSet[int]) -> dict[int, Place]:
        """Return the pods of those namespaces that are a pod's own; the node's own is nobody's."""
        if self.due(networks):
            self._look()
        return {network: place for network in networks if (place := self._places.get(network))}

    def survey(self) -> Survey:
        """Return the network namespaces of the node, as they were a moment ago."""
        if self._pace.due(wanted=True):
            self._look()
        return self._survey

    def _look(self) -> None:
        with self._pace.look():
            self._survey = survey(self._proc)
            # The inode of a namespace is given again soon after it is gone: it counts only together with its process.
            seen = self._survey.processes.items()
            self._read = {pair: self._read[pair] if pair in self._read else self._place(pair[1]) for pair in seen}
            places = {network: place for (network, _), place in self._read.items()}
            self._places.update(places | {self._node(): None}, now=self._clock())

    def _place(self, pid: int) -> Place | None:
        return place_of_process(pid, proc=self._proc)

    def _node(self) -> int:
        try:
            return network_of(_INIT, proc=self._proc)
        except OSError:
            return 0
