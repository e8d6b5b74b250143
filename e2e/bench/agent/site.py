"""A place to measure in: network namespaces of its own, and cgroups that look like pods'."""

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

from e2e.bench.errors import BenchError
from e2e.commands import run

NAMESPACE: Final = "bench"
"""Kubernetes namespace of the pods."""
SERVER: Final = "server"
CLIENT: Final = "client"
"""It shares the server's network namespace."""
DISTANT: Final = "distant"
"""It has a network namespace of its own."""
URGENT: Final = ("chrt", "--rr", "10")
"""Runs a program before all that the machine does otherwise; programs that are as urgent share a processor."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_ENTER: Final = 'echo $$ > "$0" && exec "$@"'
_END_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """What looks like a pod.

    Attributes:
        cgroup: of its container.
        netns: name of its network namespace.
    """

    cgroup: Path
    netns: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where loads run.

    Attributes:
        cgroup_root: a directory of the unified hierarchy with the pods' cgroups below it.
        pod_logs: a directory as /var/log/pods.
        scratch: for the files of a run.
        pods: by name.
    """

    cgroup_root: Path
    pod_logs: Path
    scratch: Path
    pods: dict[str, Pod]

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

    def inside(self, pod: str, *command: str, stdin: str | None = None) -> str:
        """Run a command in a pod's network namespace, and return what it printed.

        Raises:
            CommandError: it failed.
        """
        return run([*_entering(self.pods[pod]), *command], stdin=stdin, timeout_s=10.0)

    def tcp_counters(self) -> dict[str, int]:
        """Return the kernel's counters of the server's network namespace, as nstat names them."""
        lines = self.inside(SERVER, "cat", "/proc/net/snmp").splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Tcp:"))
        return dict(zip(names, map(int, values), strict=True))

    def _start(self, pod: str, load: str, arguments: Sequence[str], *, cpu: int | None) -> subprocess.Popen[str]:
        pinned = ["taskset", "--cpu-list", str(cpu % (os.cpu_count() or 1)), *URGENT] if cpu is not None else []
        command = [
            *_entering(self.pods[pod]),
            *("sh", "-c", _ENTER, str(self.pods[pod].cgroup / "cgroup.procs"), *pinned),
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
    """Make a place with its pods, and take it away.

    Raises:
        CommandError: the machine does not allow it; it needs root.
    """
    unified = _CGROUPS / "unified"
    name = f"tf-bench-{os.getpid()}"
    root = (unified if unified.is_dir() else _CGROUPS) / name
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    networks = (name, f"{name}-{DISTANT}")
    pods = {}
    try:
        for pod, netns in ((SERVER, networks[0]), (CLIENT, networks[0]), (DISTANT, networks[1])):
            uid = str(uuid.uuid4())
            pods[pod] = Pod(cgroup=root / "kubepods" / f"pod{uid}" / (uuid.uuid4().hex * 2), netns=netns)
            pods[pod].cgroup.mkdir(parents=True)
            (scratch / "pods" / f"{NAMESPACE}_{pod}_{uid}").mkdir(parents=True)
        for netns in networks:
            run(["ip", "netns", "add", netns], timeout_s=10.0)
            run(["ip", "-n", netns, "link", "set", "lo", "up"], timeout_s=10.0)
        yield Site(cgroup_root=root, pod_logs=scratch / "pods", scratch=scratch, pods=pods)
    finally:
        _remove(networks, root, scratch)


def _entering(pod: Pod) -> list[str]:
    return ["nsenter", f"--net=/var/run/netns/{pod.netns}"]


def _remove(networks: Sequence[str], root: Path, scratch: Path) -> None:
    for netns in networks:
        if Path("/var/run/netns", netns).exists():
            run(["ip", "netns", "delete", netns], timeout_s=10.0)
    deadline = time.monotonic() + _END_S
    for directory, _, _ in os.walk(root, topdown=False):
        # The kernel may still be taking the last process of a cgroup apart.
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
                break
            time.sleep(0.05)
    shutil.rmtree(scratch)
