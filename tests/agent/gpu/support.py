"""A node whose GPUs are a text file."""

from pathlib import Path

from tests.agent.clock import Clock
from tokenflow_agent.identity import Pods

H100 = (
    "uuid=GPU-a name=H100 utilization=87 used=1000 total=8000 temperature=61 power=350000 limit=700000 clock=1755"
    " reasons=0 ecc=2 mig=0 gpm=1 occupancy=41.6"
)
"""Settings of a GPU that can tell everything."""


class Node:
    """A node, as the stub tells it to NVML's callers and as the agent sees its files."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.logs = folder / "logs"
        self.cgroups = folder / "cgroups"
        for each in (self.proc, self.logs, self.cgroups):
            each.mkdir()
        self.clock = Clock()
        self.scenario = folder / "scenario"
        self._calls = folder / "calls"
        self._calls.touch()
        self.environment = {"NVML_STUB_SCENARIO": str(self.scenario), "NVML_STUB_CALLS": str(self._calls)}

    def set(self, *lines: str) -> None:
        """Be so from now on; written at once, since a call may read it meanwhile."""
        draft = self.scenario.with_suffix(".draft")
        draft.write_text("".join(f"{line}\n" for line in lines))
        draft.replace(self.scenario)

    def calls(self, name: str) -> int:
        """Return how often a call of NVML was made."""
        return self._calls.read_text().splitlines().count(name)

    def run(self, pid: int, *, namespace: str, pod: str, uid: str) -> None:
        """Have a process in a pod."""
        (self.proc / str(pid)).mkdir()
        (self.proc / str(pid) / "cgroup").write_text(f"0::/kubepods/burstable/pod{uid}/0123456789ab\n")
        (self.logs / f"{namespace}_{pod}_{uid}").mkdir(exist_ok=True)

    def pods(self) -> Pods:
        return Pods(cgroup_root=self.cgroups, log_root=self.logs)
