"""Finds the cgroups of pods, cheaply enough to look again whenever an unknown one turns up."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tokenflow_agent.identity.paths import Place, place

MAX_DIRECTORIES: Final = 16_384
"""Cgroups held in mind; a pod that makes thousands of its own must not cost more."""
_ABOVE_PODS: Final = 5
"""How deep the kubelet's top cgroup may lie: below a container of its own, at most."""
_BELOW_TOP: Final = 12
_KUBEPODS: Final = "kubepods"


@dataclass(slots=True)
class _Directory:
    path: str
    inode: int
    deeper: int
    of_pods: bool = False
    whose: Place | None = None
    below: dict[str, "_Directory"] = field(default_factory=dict)


def unified_tree(cgroup_root: Path) -> Path | None:
    """Return the cgroup2 tree, whose inodes are the ids of sockets' cgroups; ``None`` where there is none.

    Args:
        cgroup_root: the host's /sys/fs/cgroup.
    """
    trees = (cgroup_root / "unified", cgroup_root)
    return next((tree for tree in trees if (tree / "cgroup.controllers").exists()), None)


class CgroupTree:
    """The cgroups of a node.

    A directory is listed only when the number of its links says that something below it came or went: the
    kernel makes up some fifty files for each listing, while the links cost one ``stat``.

    Args:
        root: top of the cgroup2 tree.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._top = _Directory(str(root), root.stat().st_ino, _ABOVE_PODS)
        self._left = MAX_DIRECTORIES

    @property
    def truncated(self) -> bool:
        """Whether the last look met more than ``MAX_DIRECTORIES``."""
        return self._left <= 0

    def look(self) -> dict[int, Place]:
        """Return the ids of all cgroups that belong to pods."""
        self._left = MAX_DIRECTORIES
        self._refresh(self._top)
        found: dict[int, Place] = {}
        pending = [self._top]
        while pending:
            directory = pending.pop()
            pending.extend(directory.below.values())
            if directory.whose:
                found[directory.inode] = directory.whose
        return found

    def _refresh(self, directory: _Directory) -> bool:
        """Bring a directory up to date; false when it is gone, or another has taken its place."""
        try:
            status = os.stat(directory.path)  # noqa: PTH116 - a Path per directory would double the cost
        except OSError:
            return False
        if status.st_ino != directory.inode:
            return False
        self._left -= 1
        if directory.below:
            directory.below = {name: child for name, child in directory.below.items() if self._refresh(child)}
        # Some file systems do not count: they report one link.
        unchanged = status.st_nlink == len(directory.below) + 2
        if directory.deeper and not unchanged and not self.truncated:
            self._list(directory)
        return True

    def _list(self, directory: _Directory) -> None:
        try:
            with os.scandir(directory.path) as entries:
                found = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            # It vanished after it was refreshed, and will be dropped by the next look.
            return
        for entry in found:
            if entry.name in directory.below or self.truncated:
                continue
            first = not directory.of_pods and _KUBEPODS in entry.name
            of_pods = directory.of_pods or first
            child = _Directory(
                path=entry.path,
                inode=entry.inode(),
                deeper=_BELOW_TOP if first else directory.deeper - 1,
                of_pods=of_pods,
                whose=place(entry.path) if of_pods else None,
            )
            if self._refresh(child):
                directory.below[entry.name] = child
