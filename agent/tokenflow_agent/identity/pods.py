"""Names the pods of sockets; looks at the node again when it meets something unknown."""

import asyncio
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple

from tokenflow_agent.identity.cgroups import MAX_DIRECTORIES, CgroupTree, unified_tree
from tokenflow_agent.identity.names import Pod, named_pods
from tokenflow_agent.identity.networks import PodNetworks
from tokenflow_agent.identity.pace import Pace
from tokenflow_agent.identity.paths import Place
from tokenflow_agent.identity.tombstones import Tombstones
from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_api.telemetry import Signal, SignalState

SIGNAL: Final = "PodNames"
_MAX_FOREIGN: Final = 65_536


class Origin(NamedTuple):
    """Where a socket is. A tuple, because a busy node asks for thousands in each window.

    Attributes:
        cgroup: id of its cgroup; 0 where unknown.
        network: inode of its network namespace; 0 where unknown.
    """

    cgroup: int = 0
    network: int = 0


class Pods:
    """The pods of this node.

    May be called from any thread. A pod without a log directory has no name yet, and counts as unknown.

    Args:
        cgroup_root: the host's /sys/fs/cgroup.
        log_root: the host's /var/log/pods.
        proc: the host's /proc.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        cgroup_root: Path,
        log_root: Path,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cgroup_root = cgroup_root
        self._logs = log_root
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = Pace(clock)
        self._tree: CgroupTree | None = None
        self._places = Tombstones[int, Place]()
        self._named = Tombstones[str, Pod]()
        self._logs_read: tuple[int, int] | None = None
        self._networks = PodNetworks(proc=proc, clock=clock)
        self._foreign: set[int] = set()
        """Cgroups that were looked for in vain. An id is never given again, so they stay foreign."""
        self._signal = Signal(name=SIGNAL, state=SignalState.DEGRADED, reason="Starting", message="not looked yet")

    def owners(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod]:
        """Return the pods of those sockets that belong to pods.

        The cgroup decides; where it is no pod's, the network namespace does, unless that is the node's own.
        """
        with self._lock:
            self._meet(_cgroups(origins))
            found = self._by_cgroups(origins)
            return found | self._by_networks(origins - found.keys())

    async def find(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod]:
        """Return as ``owners``; in a thread where the node is to be looked at, for that takes long.

        Mostly it is not, and then a thread would cost more than the answer.
        """
        known = self._at_hand(origins)
        return await asyncio.to_thread(self.owners, origins) if known is None else known

    def named(self, uid: str) -> Pod | None:
        """Return the pod with this UID; ``None`` when the node has no such pod, or no name for it yet."""
        with self._lock:
            self._look_if_due(wanted=uid not in self._named)
            return self._named.get(uid)

    def networks(self) -> Survey:
        """Return the network namespaces of the node, with a process of each."""
        with self._lock:
            return self._networks.survey()

    @property
    def upkeep_due(self) -> bool:
        """Whether ``upkeep`` would look at the node."""
        return self._pace.due(wanted=False)

    def upkeep(self) -> None:
        """Notice what came and went, though nobody asked."""
        with self._lock:
            self._look_if_due(wanted=False)

    def signal(self) -> Signal:
        """Return whether pods can be named, or what the node lacks."""
        return self._signal

    def _at_hand(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod] | None:
        """Return as ``owners`` what is known; ``None`` where the node is to be looked at, or is being looked at."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._pace.due(wanted=self._wanted(_cgroups(origins))):
                return None
            found = self._by_cgroups(origins)
            rest = origins - found.keys()
            return None if self._networks.due(_networks(rest)) else found | self._by_networks(rest)
        finally:
            self._lock.release()

    def _meet(self, cgroups: AbstractSet[int]) -> None:
        """Look at the node where it is wanted."""
        if self._look_if_due(wanted=self._wanted(cgroups)):
            if len(self._foreign) > _MAX_FOREIGN:
                self._foreign.clear()
            self._foreign |= {cgroup for cgroup in cgroups if cgroup not in self._places}

    def _wanted(self, cgroups: AbstractSet[int]) -> bool:
        """Tell whether a cgroup is met that is neither a pod's nor known to be foreign.

        Or one whose pod had no name, which may have come meanwhile.
        """
        pods = cgroups - self._foreign
        if any(cgroup not in self._places for cgroup in pods):
            return True
        nameless = any(self._by_cgroup(cgroup) is None for cgroup in pods)
        return nameless and self._logs_version() != self._logs_read

    def _logs_version(self) -> tuple[int, int] | None:
        """Return what changes when a pod's log directory comes or goes."""
        try:
            status = self._logs.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_nlink

    def _by_cgroup(self, cgroup: int) -> Pod | None:
        whose = self._places.get(cgroup)
        return self._named.get(whose.pod_uid) if whose else None

    def _by_cgroups(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod]:
        return {origin: pod for origin in origins if (pod := self._by_cgroup(origin.cgroup))}

    def _by_networks(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod]:
        places = self._networks.places(_networks(origins))
        whose = {origin: place for origin in origins if (place := places.get(origin.network))}
        return {origin: pod for origin, place in whose.items() if (pod := self._named.get(place.pod_uid))}

    def _look_if_due(self, *, wanted: bool) -> bool:
        if not self._pace.due(wanted=wanted):
            return False
        with self._pace.look():
            if self._tree is None and (tree := _tree(self._cgroup_root)):
                # Without a tree, all that was met counted as foreign.
                self._tree = tree
                self._foreign.clear()
            places = self._tree.look() if self._tree else {}
            self._places.update(places, now=self._clock())
            self._signal = self._read_names() or self._judge(has_pods=bool(places))
        return True

    def _read_names(self) -> Signal | None:
        """Read the names; return what the node lacks for it."""
        self._logs_read = self._logs_version()
        try:
            self._named.update(named_pods(self._logs), now=self._clock())
        except OSError as error:
            words = f"{self._logs}: {error.strerror}: mount the node's /var/log/pods there"
            return _degraded("PodLogsMissing", words)
        return None

    def _judge(self, *, has_pods: bool) -> Signal:
        if self._tree is None:
            words = (
                f"{self._cgroup_root} holds no cgroup2 tree: mount the node's /sys/fs/cgroup there. Pods are told by"
                " their network namespaces, and those in the node's own network not at all"
            )
            return _degraded("CgroupsMissing", words, backend="NetworkNamespaces")
        if self._tree.truncated:
            words = f"more than {MAX_DIRECTORIES} cgroups: the pods of some are told by their network namespaces"
            return _degraded("TooManyCgroups", words, backend="Cgroups")
        if not has_pods:
            words = (
                f"no cgroup of a pod below {self._tree.root}: mount the node's whole /sys/fs/cgroup. Where the node"
                " runs cgroup v1, pods are told by their network namespaces, and those in the node's own not at all"
            )
            return _degraded("NoPodCgroups", words, backend="NetworkNamespaces")
        return Signal(name=SIGNAL, backend="Cgroups", state=SignalState.ACTIVE)


def _cgroups(origins: AbstractSet[Origin]) -> set[int]:
    return {origin.cgroup for origin in origins} - {0}


def _networks(origins: AbstractSet[Origin]) -> set[int]:
    return {origin.network for origin in origins} - {0}


def _tree(cgroup_root: Path) -> CgroupTree | None:
    root = unified_tree(cgroup_root)
    return CgroupTree(root) if root else None


def _degraded(reason: str, message: str, *, backend: str = "") -> Signal:
    return Signal(name=SIGNAL, backend=backend, state=SignalState.DEGRADED, reason=reason, message=message)
