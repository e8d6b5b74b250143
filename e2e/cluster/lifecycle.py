"""Brings the whole cluster up and takes it down again."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from e2e.cluster import binaries, cgroups, control_plane, images, network, node, processes
from e2e.cluster.errors import ClusterError, PrerequisiteError
from e2e.cluster.settings import Layout, Node
from e2e.commands import CommandError

_READY_TIMEOUT_S: Final = 90.0
_RECOVERY_TIMEOUT_S: Final = 30.0
_LAST_WORDS: Final = 400
"""Characters of each kubelet's last line that an error shows."""
_NODES_FILE: Final = "nodes"
_OWNED_FILE: Final = "owned"


def up(layout: Layout, *, nodes: int, report: Callable[[str], None]) -> None:
    """Bring the cluster up with that many nodes; one that is up and well is left as it is.

    Args:
        layout: where everything goes.
        nodes: number of nodes, 0 for an API server alone.
        report: told what happens.

    Raises:
        ClusterError: it did not come up, or one of another size is up.
        CommandError: a program failed.
    """
    network.check_packages()
    binaries.build_all(layout.cache, report=report)
    with _alone(layout):
        if not _keep(layout, nodes=nodes, report=report):
            _clear(layout)
            _create(layout, nodes=nodes, report=report)


def down(layout: Layout) -> None:
    """Take everything away: processes, and their mounts with them, namespaces, cgroups, files.

    Raises:
        ClusterError: something would not go.
        CommandError: a program failed.
    """
    with _alone(layout):
        _clear(layout)


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Keep other runs of this tool out, and refuse to touch the cluster of another cache directory.

    Raises:
        ClusterError: another one is at work, or has a cluster up.
    """
    if os.geteuid() != 0:
        raise PrerequisiteError("network namespaces and cgroups need root: run it with sudo")
    layout.cache.mkdir(parents=True, exist_ok=True)
    with (layout.cache / "cluster.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(
                "another run is bringing this cluster up or down: wait for its end, then try again"
            ) from error
        if others := processes.others(layout.state):
            cache = min(others).parent
            raise ClusterError(
                f"another cluster is up and this machine holds one: run"
                f" 'TOKENFLOW_CACHE={cache} python -m e2e.cluster down' first"
            )
        yield


def _keep(layout: Layout, *, nodes: int, report: Callable[[str], None]) -> bool:
    """Whether a cluster is up that can stay.

    Raises:
        ClusterError: it has another number of nodes.
    """
    present = count(layout)
    if present is None or not processes.marked(layout.state):
        return False
    if present != nodes:
        raise ClusterError(f"a cluster of {present} nodes is up: run 'python -m e2e.cluster down' first")
    try:
        _wait(layout, nodes=nodes, timeout_s=_RECOVERY_TIMEOUT_S)
    except ClusterError as error:
        report(f"starting over: {error}")
        return False
    return True


def _create(layout: Layout, *, nodes: int, report: Callable[[str], None]) -> None:
    layout.state.mkdir(parents=True)
    _own_shared(layout)
    members = layout.nodes(nodes)
    report("starting the control plane")
    network.create(members)
    control_plane.write_credentials(layout, members)
    control_plane.start(layout)
    control_plane.start_dns(layout)
    report(f"starting {nodes} nodes")
    containerds = [node.start(member, layout) for member in members]
    if members:
        images.load(layout, members, [str(images.pause_archive(layout))])
    for member, containerd in zip(members, containerds, strict=True):
        node.join(member, layout, containerd=containerd)
    _wait(layout, nodes=nodes, timeout_s=_READY_TIMEOUT_S)
    (layout.state / _NODES_FILE).write_text(str(nodes))


def _clear(layout: Layout) -> None:
    processes.end(lambda: processes.marked(layout.state))
    processes.end(cgroups.pids)
    network.delete()
    cgroups.remove()
    owned = layout.state / _OWNED_FILE
    for path in json.loads(owned.read_text()) if owned.exists() else []:
        if Path(path).exists():
            shutil.rmtree(path)
    if layout.state.exists():
        shutil.rmtree(layout.state)


def count(layout: Layout) -> int | None:
    """Return how many nodes the cluster has that came up here; ``None`` when none did."""
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


def _wait(layout: Layout, *, nodes: int, timeout_s: float) -> None:
    try:
        processes.wait_for(
            "the cluster",
            lambda: _well(layout, nodes=nodes),
            timeout_s=timeout_s,
            hint=f"read the logs in {layout.logs}",
        )
    except ClusterError as error:
        # Where a run's output is all that is kept of it, a path alone tells nothing.
        logs = [log.read_text(errors="replace").splitlines() for log in sorted(layout.logs.glob("*-kubelet.log"))]
        last = [lines[-1][:_LAST_WORDS] for lines in logs if lines]
        raise ClusterError("\n  ".join([str(error), *last])) from error


def _well(layout: Layout, *, nodes: int) -> bool:
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
    return len(ready) == nodes


def _own_shared(layout: Layout) -> None:
    """Remember which of the machine's own places are ours to clean, before they are used."""
    owned = [place for place in node.OWN_PLACES if not Path(place).exists()]
    (layout.state / _OWNED_FILE).write_text(json.dumps(owned))
