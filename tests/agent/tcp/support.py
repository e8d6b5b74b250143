"""Connections over loopback, and what the programs in the kernel saw of them."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tokenflow_agent.kernel import btf
from tokenflow_agent.tcp.hooks import Way
from tokenflow_agent.tcp.programs import Limits, TcpPrograms, open_programs
from tokenflow_agent.tcp.reading import Reading
from tokenflow_api.telemetry_agent import Ebpf
from tokenflow_api.windows import Direction

WAYS = [Way.TYPED, Way.RAW] + ([Way.KPROBE] if Path("/sys/bus/event_source/devices/kprobe").exists() else [])
"""Ways in which this kernel can be watched."""
SERVED, DIALED = Direction.SERVED, Direction.DIALED


def needs_bpf() -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching BPF programs needs root")
    if not btf.VMLINUX.exists():
        pytest.skip(f"this kernel has no {btf.VMLINUX}")


@asynccontextmanager
async def attached(
    way: Way = Way.TYPED, *, limits: Limits | None = None, ebpf: Ebpf | None = None
) -> AsyncIterator[TcpPrograms]:
    needs_bpf()
    programs = await open_programs(way, ebpf or Ebpf(), limits=limits)
    try:
        yield programs
    finally:
        programs.close()


@contextmanager
def connection(address: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a connection: the one that dialed, and the one that was served."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket.create_server((address, port), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        served, _ = server.accept()
        for end in (client, served):
            end.settimeout(30)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with served:
            yield client, served


def ping_pong(client: socket.socket, served: socket.socket, rounds: int) -> None:
    for _ in range(rounds):
        client.sendall(b"x")
        served.recv(1)
        served.sendall(b"y")
        client.recv(1)


async def seen(programs: TcpPrograms, port: int) -> dict[Direction, Reading]:
    """Return what was seen of a port since the last look, by direction."""
    harvest = await programs.harvest()
    return {each.direction: each for each in harvest.readings if each.service_port == port}


async def exchange(rounds: int, *, port: int = 0) -> int:
    """Have that many requests answered over a connection of their own; return the port of the server."""

    def work() -> int:
        with connection(port=port) as (client, served):
            ping_pong(client, served, rounds)
            used: int = served.getsockname()[1]
            return used

    return await asyncio.to_thread(work)


def unified_cgroups() -> Path:
    """Return where the unified hierarchy is mounted."""
    tree = Path("/sys/fs/cgroup/unified")
    return tree if tree.is_dir() else tree.parent


def own_cgroup() -> int:
    """Return the id of this process's cgroup."""
    line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return (unified_cgroups() / line.removeprefix("0::").lstrip("/")).stat().st_ino


def own_network() -> int:
    """Return the inode of this process's network namespace."""
    return Path("/proc/self/ns/net").stat().st_ino
