"""Which pod a cgroup belongs to, without asking Kubernetes.

The id that the kernel gives for a socket's cgroup is the inode of its directory; the directory's path holds
the pod's UID; and the node keeps one log directory per pod, called ``<namespace>_<pod>_<uid>``.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOMBSTONE_S: Final = 60.0
"""How long the name of a pod that ended is kept, for the last windows of its sockets."""

LOOK_AGAIN_S: Final = 2.0
"""Least time between two looks at the node for cgroups that were nobody's before."""

_POD: Final = re.compile(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:/|$)"
)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this node."""

    uid: str
    namespace: str
    name: str


def pod_uid(cgroup_path: str) -> str | None:
    """Return the UID in a cgroup's path; ``None`` when it is no pod's.

    The systemd driver writes ``_`` for ``-``; static pods have UIDs without dashes.
    """
    found = _POD.search(cgroup_path)
    return found[1].replace("_", "-") if found else None


class Pods:
    """Names the pods of cgroup ids; looks at the node again when it meets an unknown one.

    A pod without a log directory has no name yet, and counts as unknown: it is looked for again after
    ``LOOK_AGAIN_S``.

    Args:
        cgroup_root: the host's /sys/fs/cgroup.
        log_root: the host's /var/log/pods.
        clock: monotonic, in seconds.
    """

    def __init__(self, *, cgroup_root: Path, log_root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        unified = cgroup_root / "unified"
        self._cgroups = unified if unified.is_dir() else cgroup_root
        self._logs = log_root
        self._clock = clock
        self._pods: dict[int, Pod] = {}
        self._gone: dict[int, float] = {}
        self._unnamed: set[int] = set()
        self._looked = float("-inf")

    def resolve(self, cgroups: set[int]) -> dict[int, Pod]:
        """Return the pods of those cgroup ids that belong to pods."""
        unknown = cgroups - self._pods.keys()
        if unknown - self._unnamed or (unknown and self._clock() - self._looked >= LOOK_AGAIN_S):
            self._look()
            self._unnamed = unknown - self._pods.keys()
        return {cgroup: self._pods[cgroup] for cgroup in cgroups if cgroup in self._pods}

    def named(self, uids: set[str]) -> dict[str, Pod]:
        """Return those pods that the node has a name for, by their UIDs."""
        return {uid: Pod(uid, *name) for uid, name in self._named() if uid in uids}

    def _look(self) -> None:
        self._looked = self._clock()
        names = dict(self._named())
        found = {
            inode: Pod(uid, *names[uid])
            for inode, path in _directories(self._cgroups)
            if (uid := pod_uid(path)) and uid in names
        }
        gone = self._pods.keys() - found.keys()
        self._gone = {cgroup: self._gone.get(cgroup, self._looked) for cgroup in gone}
        over = {cgroup for cgroup, since in self._gone.items() if self._looked - since > TOMBSTONE_S}
        self._pods = {cgroup: pod for cgroup, pod in (self._pods | found).items() if cgroup not in over}

    def _named(self) -> Iterator[tuple[str, tuple[str, str]]]:
        if not self._logs.is_dir():
            return
        for entry in self._logs.iterdir():
            namespace, _, rest = entry.name.partition("_")
            name, _, uid = rest.rpartition("_")
            if name and uid:
                yield uid, (namespace, name)


def _directories(top: Path) -> Iterator[tuple[int, str]]:
    """Yield the inode and path of every directory below ``top``; those that vanish meanwhile are left out."""
    for directory, _, _ in os.walk(top):
        try:
            yield Path(directory).stat().st_ino, directory
        except FileNotFoundError:
            continue
