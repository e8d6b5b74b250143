"""Names the pods of sockets; looks at the node again when it meets something unknown."""

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

    def resolve(self, cgroups: AbstractSet[int]) -> dict[int, Pod]:
        """Return the pods of those cgroup ids that belong to pods."""
        found = self.owners({Origin(cgroup=cgroup) for cgroup in cgroups})
        return {origin.cgroup: pod for origin, pod in found.items()}

    def owners(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod]:
        """Return the pods of those sockets that belong to pods.

        The cgroup decides; where it is no pod's, the network namespace does, unless that is the node's own.
        """
        with self._lock:
            self._meet({origin.cgroup for origin in origins} - {0})
            found = {origin: pod for origin in origins if (pod := self._by_cgroup(origin.cgroup))}
            rest = {origin.network for origin in origins if origin not in found} - {0}
            places = self._networks.places(rest) if rest else {}
            for origin in origins - found.keys():
                whose = places.get(origin.network)
                pod = self._named.get(whose.pod_uid) if whose else None
                if pod:
                    found[origin] = pod
            return found

    def named(self, uid: str) -> Pod | None:
        """Return the pod with this UID; ``None`` when the node has no such pod, or no name for it yet."""
        with self._lock:
            self._look_if_due(wanted=uid not in self._named)
            return self._named.get(uid)

    def networks(self) -> Survey:
        """Return the network namespaces of the node, with a process of each."""
        with self._lock:
            return self._networks.survey()

    def upkeep(self) -> None:
        """Notice what came and went, though nobody asked."""
        with self._lock:
            self._look_if_due(wanted=False)

    def signal(self) -> Signal:
        """Return whether pods can be named, or what the node lacks."""
        return self._signal

    def _meet(self, cgroups: AbstractSet[int]) -> None:
        """Look at the node where a cgroup is met that is neither a pod's nor known to be foreign.

        And where a pod's name may have come meanwhile.
        """
        unknown = {cgroup for cgroup in cgroups - self._foreign if cgroup not in self._places}
        nameless = not unknown and any(self._by_cgroup(cgroup) is None for cgroup in cgroups - self._foreign)
        if self._look_if_due(wanted=bool(unknown) or (nameless and self._logs_version() != self._logs_read)):
            if len(self._foreign) > _MAX_FOREIGN:
                self._foreign.clear()
            self._foreign |= {cgroup for cgroup in unknown if cgroup not in self._places}

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

    def _look_if_due(self, *, wanted: bool) -> bool:
        if not self._pace.due(wanted=wanted):
            return False
        with self._pace.look():
            self._tree = self._tree or _tree(self._cgroup_root)
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


def _tree(cgroup_root: Path) -> CgroupTree | None:
    root = unified_tree(cgroup_root)
    return CgroupTree(root) if root else None


def _degraded(reason: str, message: str, *, backend: str = "") -> Signal:
    return Signal(name=SIGNAL, backend=backend, state=SignalState.DEGRADED, reason=reason, message=message)
