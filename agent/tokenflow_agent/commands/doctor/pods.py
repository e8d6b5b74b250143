"""Checks that the node's pods can be told apart and named."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenflow_agent.commands.doctor.check import Check, State
from tokenflow_agent.identity.cgroups import CgroupTree, unified_tree
from tokenflow_agent.identity.names import named_pods
from tokenflow_agent.identity.paths import place_of_process

_INITIAL_NAMESPACE: Final = "pid:[4026531836]"
"""``PROC_PID_INIT_INO`` of the kernel's include/linux/proc_ns.h."""


def cgroups(cgroup_root: Path) -> Sequence[Check]:
    """Check that pods can be found among the cgroups."""
    top = unified_tree(cgroup_root)
    if top is None:
        words = f"no cgroup2 tree in {cgroup_root}: mount the host's /sys/fs/cgroup there"
        return [Check("cgroups", State.FAIL, words)]
    uids = {place.pod_uid for place in CgroupTree(top).look().values()}
    if not uids:
        return [Check("cgroups", State.WARN, f"no pod's cgroup in {top}: is it the host's, and has the node pods?")]
    return [Check("cgroups", State.OK, f"pods in {top}: {len(uids)}")]


def names(pod_logs: Path) -> Sequence[Check]:
    """Check that pods have names."""
    try:
        known = named_pods(pod_logs)
    except OSError as error:
        words = f"{pod_logs} cannot be listed ({error.strerror}): mount the host's /var/log/pods there"
        return [Check("pod names", State.FAIL, words)]
    if not known:
        words = f"{pod_logs} has no pod's directory: is it the host's, and has the node pods?"
        return [Check("pod names", State.WARN, words)]
    return [Check("pod names", State.OK, f"pods in {pod_logs}: {len(known)}")]


def processes(root: Path) -> Sequence[Check]:
    """Check that the processes of other pods are seen."""
    proc = root / "proc"
    if str((proc / "self/ns/pid").readlink()) == _INITIAL_NAMESPACE:
        return [Check("processes", State.OK, "all processes of the node are seen")]
    pids = [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    uids = {found.pod_uid for pid in pids if (found := place_of_process(pid, proc=proc))}
    if len(uids) > 1:
        return [Check("processes", State.OK, f"pods whose processes are seen: {len(uids)}")]
    words = "only the agent's own processes are seen: set hostPID: true in its pod, or TLS, GPU memory by pod and"
    return [Check("processes", State.WARN, f"{words} sockets read without BPF stay unknown")]
