"""The cgroups of the nodes: one top directory per node in every hierarchy of the machine."""

import os
from pathlib import Path
from typing import Final

from e2e.cluster import processes
from e2e.cluster.settings import Node

ROOT: Final = Path("/sys/fs/cgroup")
_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")
_KUBELET_CONTROLLERS: Final = ("cpu", "cpuset", "memory", "hugetlb", "pids")
_REMOVAL_TIMEOUT_S: Final = 10.0


def make(node: Node) -> None:
    """Make the node's top cgroup in every hierarchy; the kubelet makes those below."""
    if _unified():
        _offer_controllers()
    for hierarchy in _hierarchies():
        group = hierarchy / node.cgroup
        group.mkdir(exist_ok=True)
        for name in _INHERITED:
            if (hierarchy / name).exists() and (group / name).exists():
                (group / name).write_text((hierarchy / name).read_text())


def pids() -> list[int]:
    """Return the ids of all processes that run in pods of the nodes."""
    files = [directory / "cgroup.procs" for directory in _directories()]
    return sorted({int(line) for file in files if file.exists() for line in file.read_text().split()})


def remove() -> None:
    """Remove the cgroups of all nodes, whose processes must have ended.

    Raises:
        ClusterError: one stays busy.
    """
    processes.wait_for(
        "the removal of the cgroups",
        lambda: all(_removed(directory) for directory in _directories()),
        timeout_s=_REMOVAL_TIMEOUT_S,
        hint=f"look for processes in {ROOT}/*/tf*/**/cgroup.procs, then run down again",
    )


def _unified() -> bool:
    """Whether this is a v2 machine; on others the v1 hierarchies have what the kubelet demands."""
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    """Return the roots of all hierarchies: one on a v2 machine, one per controller on others."""
    return [ROOT] if _unified() else sorted({entry.resolve() for entry in ROOT.iterdir() if entry.is_dir()})


def _offer_controllers() -> None:
    """Let the cgroups of a v2 machine have what the kubelet demands."""
    available = (ROOT / "cgroup.controllers").read_text().split()
    wanted = [f"+{controller}" for controller in _KUBELET_CONTROLLERS if controller in available]
    (ROOT / "cgroup.subtree_control").write_text(" ".join(wanted))


def _directories() -> list[Path]:
    """Return the cgroups of all nodes and what is below, the deepest first."""
    tops = [top for root in _hierarchies() for top in root.glob("tf[0-9]*") if top.name.removeprefix("tf").isdigit()]
    found = [Path(directory) for top in tops for directory, _, _ in os.walk(top)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        # The kernel may still be taking its last process apart; whoever waits says so when that lasts.
        return False
    return True
