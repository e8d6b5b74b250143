"""The names of a node's pods, from its log directories."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this node."""

    uid: str
    namespace: str
    name: str


def named_pods(log_root: Path) -> dict[str, Pod]:
    """Return the pods by UID; the directories are called ``<namespace>_<pod>_<uid>``.

    Args:
        log_root: the host's /var/log/pods.

    Raises:
        OSError: it cannot be listed.
    """
    found: dict[str, Pod] = {}
    for entry in log_root.iterdir():
        namespace, _, rest = entry.name.partition("_")
        name, _, uid = rest.rpartition("_")
        if name and uid:
            found[uid] = Pod(uid, namespace, name)
    return found
