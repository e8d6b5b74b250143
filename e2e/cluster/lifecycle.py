"""Brings the whole cluster up and takes it down again."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from e2e.cluster import binaries, control_plane, images, network, node, processes
from e2e.cluster.errors import ClusterError, PrerequisiteError
from e2e.cluster.settings import Layout, Node
from e2e.commands import CommandError, run

POD_LOGS: Final = (Path("/var/log/pods"), Path("/var/log/containers"))
TRACEFS: Final = Path("/sys/kernel/tracing")
_READY_TIMEOUT_S: Final = 90.0
_NODES_FILE: Final = "nodes"
_OWNED_FILE: Final = "owned"


def up(layout: Layout, *, nodes: int, report: Callable[[str], None]) -> None:
    """Bring the cluster up with that many nodes; one that is up and well is left as it is.

    Args:
        layout: where everything goes.
        nodes: number of nodes, 0 for an API server alone.
        report: told what happens.

    Raises:
        ClusterError: it did not come up.
        CommandError: a program failed.
    """
    if os.geteuid() != 0:
        raise PrerequisiteError("network namespaces and cgroups need root: run it with sudo")
    network.check_packages()
    binaries.build_all(layout.cache, report=report)
    if count(layout) == nodes and _well(layout):
        return
    down(layout)
    layout.state.mkdir(parents=True)
    (layout.state / _NODES_FILE).write_text(str(nodes))
    _own_shared(layout)
    members = layout.nodes(nodes)
    report("starting the control plane")
    network.create(members)
    control_plane.write_credentials(layout, members)
    control_plane.start(layout)
    control_plane.start_dns(layout)
    report(f"starting {nodes} nodes")
    for member in members:
        node.start_containerd(member, layout)
    if members:
        images.load(layout, members, [str(images.pause_archive(layout))])
    for member in members:
        node.start_kubelet(member, layout)
    processes.wait_for(
        "the nodes",
        lambda: _well(layout),
        timeout_s=_READY_TIMEOUT_S,
        hint=f"read the kubelets' logs in {layout.logs}",
    )


def down(layout: Layout) -> None:
    """Take everything away: processes, mounts, namespaces, cgroups, files.

    Raises:
        ClusterError: something would not go.
        CommandError: a program failed.
    """
    processes.end(lambda: processes.marked(layout.state))
    processes.end(node.pids_in_cgroups)
    _unmount(layout.state)
    network.delete()
    for directory in node.cgroup_directories():
        directory.rmdir()
    owned = layout.state / _OWNED_FILE
    for path in json.loads(owned.read_text()) if owned.exists() else []:
        _disown(Path(path))
    if layout.state.exists():
        shutil.rmtree(layout.state)


def count(layout: Layout) -> int | None:
    """Return how many nodes the cluster was brought up with; ``None`` when there is none."""
    file = layout.state / _NODES_FILE
    return int(file.read_text()) if file.exists() else None


def members(layout: Layout) -> list[Node]:
    """Return the nodes of the cluster that is up.

    Raises:
        ClusterError: none is.
    """
    nodes = count(layout)
    if nodes is None:
        raise ClusterError("no cluster is up: run 'python -m e2e.cluster up' first")
    return layout.nodes(nodes)


def _well(layout: Layout) -> bool:
    """Whether every node is ready and the default service account is there for pods to use."""
    try:
        answer = control_plane.kubectl(layout, "get", "nodes", "-o", "json", timeout_s=10.0)
        control_plane.kubectl(layout, "-n", "default", "get", "serviceaccount", "default", timeout_s=10.0)
    except CommandError:
        # Not answering is not well; whoever waits says where to look.
        return False
    ready = [
        condition
        for item in json.loads(answer)["items"]
        for condition in item["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]
    return len(ready) == count(layout)


def _own_shared(layout: Layout) -> None:
    """Remember which of the machine's own places are ours to clean, before they are used."""
    owned = [str(path) for path in POD_LOGS if not path.exists()]
    mounted = any(line.split()[1] == str(TRACEFS) for line in Path("/proc/mounts").read_text().splitlines())
    if TRACEFS.is_dir() and not mounted:
        owned.append(str(TRACEFS))
    (layout.state / _OWNED_FILE).write_text(json.dumps(owned))
    if str(TRACEFS) in owned:
        # Agents read it from the host, and some machines do not mount it.
        run(["mount", "-t", "tracefs", "tracefs", str(TRACEFS)])


def _disown(path: Path) -> None:
    if path == TRACEFS:
        subprocess.run(["umount", str(path)], capture_output=True, check=False, timeout=10.0)
    elif path.exists():
        shutil.rmtree(path)


def _unmount(top: Path) -> None:
    """Unmount everything below ``top``, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for point in sorted((p for p in points if p.startswith(f"{top}/")), key=len, reverse=True):
        run(["umount", "--lazy", point], timeout_s=10.0)
