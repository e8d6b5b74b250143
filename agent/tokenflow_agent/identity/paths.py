"""What the path of a cgroup says, in the words of every driver and runtime."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_UID: Final = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_POD: Final = re.compile(rf"pod({_UID})(?:\.slice)?(?:[/:](?P<container>[^/]+))?(?:/|$)")
_CONTAINER: Final = re.compile(r"(?:.*[-:])?([0-9a-f]{12,64})(?:\.scope)?")
"""``cri-containerd-<id>.scope``, ``crio-<id>.scope``, ``docker-<id>.scope``, ``cri-containerd:<id>`` or the id."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose a cgroup is.

    Attributes:
        pod_uid: UID of the pod.
        container: id of the container; empty for the pod's own cgroup.
    """

    pod_uid: str
    container: str


def place(cgroup_path: str) -> Place | None:
    """Return whose cgroup has this path; ``None`` when it is no pod's.

    The systemd driver writes ``_`` for ``-``; static pods have UIDs without dashes. The outermost pod counts: what
    a container makes below its own cgroup may have any name.
    """
    found = _POD.search(cgroup_path)
    if found is None:
        return None
    directory = found["container"] or ""
    container = _CONTAINER.fullmatch(directory)
    return Place(found[1].replace("_", "-"), container[1] if container else directory)


def place_of_process(pid: int, *, proc: Path = Path("/proc")) -> Place | None:
    """Return whose a process is; ``None`` when it is no pod's, or is gone.

    All of its cgroups are looked at: a node with cgroup v1 may name the pod in those alone.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    return next((found for line in lines if (found := place(line.split(":", 2)[2]))), None)
