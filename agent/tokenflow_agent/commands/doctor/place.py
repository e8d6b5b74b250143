"""Where the doctor looks."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A node, as the agent's container sees it.

    Attributes:
        cgroup_root: the host's /sys/fs/cgroup.
        pod_logs: the host's /var/log/pods.
        config_file: mounted AgentConfig.
        token_file: projected token for the hint services.
        spool_dir: where windows wait on the disk.
        root: what /proc and /sys lie in.
    """

    cgroup_root: Path
    pod_logs: Path
    config_file: Path
    token_file: Path
    spool_dir: Path
    root: Path = Path("/")
