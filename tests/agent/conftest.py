"""Network namespaces of their own, for tests of what the agent reads of pods' sockets, and time for its programs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tokenflow_agent.kernel import loader

_CHILD = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
servers, clients, accepted = {}, [], []

def listen(port, backlog, host="127.0.0.1"):
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host, port))
    server.listen(backlog)
    servers[port] = server
    return server.getsockname()[1]

def connect(port, count, host="127.0.0.1"):
    # Not waited for: into a full queue they never get.
    for _ in range(count):
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        client.setblocking(False)
        client.connect_ex((host, port))
        clients.append(client)

def accept(port, count):
    accepted.extend(servers[port].accept()[0] for _ in range(count))

def exchange(rounds):
    clients[-1].setblocking(True)
    for _ in range(rounds):
        clients[-1].sendall(b"x")
        accepted[-1].recv(1)
        accepted[-1].sendall(b"y")
        clients[-1].recv(1)

def ss():
    lines = subprocess.run(["ss", "-lntH"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {int(line.split()[3].rpartition(":")[2]): tuple(map(int, line.split()[1:3])) for line in lines}

print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Network:
    """A process in a network namespace of its own, which has only loopback.

    Args:
        cgroup: directory of the cgroup that the process is to be in.
    """

    def __init__(self, cgroup: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [*(shutil.which("unshare") or "unshare", "--net"), sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: (cgroup / "cgroup.procs").write_text("0") if cgroup else None,  # noqa: PLW1509 - no threads write there
        )
        assert self._answer() == "ready"
        self.pid = self.process.pid
        self.inode = Path(f"/proc/{self.pid}/ns/net").stat().st_ino

    def run(self, expression: str) -> str:
        """Have the process evaluate an expression: listen, connect, accept, exchange or ss."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(autouse=True)
def _slow_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the compiler take its time: on a busy machine, and within a virtual one."""
    monkeypatch.setattr(loader, "_COMPILE_S", 120.0)


@pytest.fixture
def new_network() -> Iterator[Callable[..., Network]]:
    """Return a maker of network namespaces; they are removed after the test."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("making network namespaces needs root and unshare")
    with ExitStack() as made:

        def make(cgroup: Path | None = None) -> Network:
            network = Network(cgroup)
            made.callback(network.close)
            return network

        yield make


@pytest.fixture
def network(new_network: Callable[..., Network]) -> Network:
    return new_network()
