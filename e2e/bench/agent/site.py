"""A place to measure in: a network namespace of its own, and cgroups that look like pods'."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.bench.agent.errors import BenchError
from e2e.commands import run

NAMESPACE: Final = "bench"
"""Kubernetes namespace of the pods."""
SERVER: Final = "server"
CLIENT: Final = "client"
URGENT: Final = ("chrt", "--rr", "10")
"""Runs a program before all that the machine does otherwise; programs that are as urgent share a processor."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_ENTER: Final = 'echo $$ > "$0" && exec "$@"'
_END_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where loads run.

    Attributes:
        netns: name of the network namespace.
        cgroup_root: a directory of the unified hierarchy with the pods' cgroups below it.
        pod_logs: a directory as /var/log/pods.
        scratch: for the files of a run.
        pods: cgroup of each pod, by name.
    """

    netns: str
    cgroup_root: Path
    pod_logs: Path
    scratch: Path
    pods: dict[str, Path]

    @contextmanager
    def running(self, pod: str, load: str, *arguments: str, cpu: int | None = None) -> Iterator[subprocess.Popen[str]]:
        """Run ``python -m e2e.bench.agent.loads.<load>`` in a pod until the block is left.

        Args:
            pod: name of the pod.
            load: which program.
            arguments: for it.
            cpu: processor that it has to itself, but for an agent that is as urgent; any by default.
        """
        process = self._start(pod, load, arguments, cpu=cpu)
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=_END_S)

    def run(self, pod: str, load: str, *arguments: str, cpu: int | None = None, timeout_s: float) -> dict[str, Any]:
        """Run a load to its end, and return what it printed.

        Raises:
            BenchError: it failed, or took too long.
        """
        process = self._start(pod, load, arguments, cpu=cpu)
        return finish(process, what=load, timeout_s=timeout_s)

    def counters(self, protocol: str = "Tcp") -> dict[str, int]:
        """Return the kernel's counters of this network namespace, by their names in /proc/net."""
        file = "netstat" if protocol.endswith("Ext") else "snmp"
        text = run(["nsenter", f"--net=/var/run/netns/{self.netns}", "cat", f"/proc/net/{file}"], timeout_s=10.0)
        names, values = (line.split()[1:] for line in text.splitlines() if line.startswith(f"{protocol}:"))
        return dict(zip(names, map(int, values), strict=True))

    def _start(self, pod: str, load: str, arguments: Sequence[str], *, cpu: int | None) -> subprocess.Popen[str]:
        pinned = ["taskset", "--cpu-list", str(cpu % (os.cpu_count() or 1)), *URGENT] if cpu is not None else []
        command = [
            *("nsenter", f"--net=/var/run/netns/{self.netns}"),
            *("sh", "-c", _ENTER, str(self.pods[pod] / "cgroup.procs"), *pinned),
            *(sys.executable, "-m", f"e2e.bench.agent.loads.{load}", *arguments),
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], *, what: str, timeout_s: float) -> dict[str, Any]:
    """Wait for a load, and return what it printed.

    Raises:
        BenchError: it failed, or took too long.
    """
    try:
        words, complaint = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate(timeout=_END_S)
        raise BenchError(f"the load {what} was not done after {timeout_s:.0f} s") from error
    if process.returncode:
        raise BenchError(f"the load {what} failed ({process.returncode}): {complaint.strip()[-300:]}")
    report: dict[str, Any] = json.loads(words)
    return report


@contextmanager
def site() -> Iterator[Site]:
    """Make a place with two pods, and take it away.

    Raises:
        CommandError: the machine does not allow it; it needs root.
    """
    unified = _CGROUPS / "unified"
    name = f"tf-bench-{os.getpid()}"
    root = (unified if unified.is_dir() else _CGROUPS) / name
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    pods = {}
    try:
        for pod in (SERVER, CLIENT):
            uid = str(uuid.uuid4())
            pods[pod] = root / "kubepods" / f"pod{uid}" / (uuid.uuid4().hex * 2)
            pods[pod].mkdir(parents=True)
            (scratch / "pods" / f"{NAMESPACE}_{pod}_{uid}").mkdir(parents=True)
        run(["ip", "netns", "add", name], timeout_s=10.0)
        run(["ip", "-n", name, "link", "set", "lo", "up"], timeout_s=10.0)
        yield Site(netns=name, cgroup_root=root, pod_logs=scratch / "pods", scratch=scratch, pods=pods)
    finally:
        _remove(name, root, scratch)


def _remove(name: str, root: Path, scratch: Path) -> None:
    if Path("/var/run/netns", name).exists():
        run(["ip", "netns", "delete", name], timeout_s=10.0)
    deadline = time.monotonic() + _END_S
    for directory, _, _ in os.walk(root, topdown=False):
        # The kernel may still be taking the last process of a cgroup apart.
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
                break
            time.sleep(0.05)
    shutil.rmtree(scratch)
