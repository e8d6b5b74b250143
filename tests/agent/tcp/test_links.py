"""What is read of a path whose delay and losses are known, against the truth."""

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.commands import run
from e2e.link.delay import ADDRESSES
from tests.agent.tcp.support import DIALED, SERVED, WAYS, attached, needs_bpf, ping_pong
from tokenflow_agent.tcp.hooks import Way
from tokenflow_agent.tcp.programs import TcpPrograms
from tokenflow_agent.tcp.reading import Reading

pytestmark = [pytest.mark.bpf, pytest.mark.netns]
LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NETWORK = 0x40000000
URGENT = ("chrt", "--rr", "10")


@dataclass(frozen=True)
class Ends:
    """Names of the two network namespaces at the ends of a path."""

    one: str
    other: str

    def inodes(self) -> tuple[int, int]:
        first, second = (Path("/var/run/netns", name).stat().st_ino for name in (self.one, self.other))
        return first, second

    def retransmits(self) -> tuple[int, int]:
        first, second = (counter(name, "RetransSegs") for name in (self.one, self.other))
        return first, second


def counter(netns: str, name: str) -> int:
    """Return what nstat would show of a network namespace."""
    lines = run(["ip", "netns", "exec", netns, "cat", "/proc/net/snmp"]).splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(dict(zip(names, values, strict=True))[name])


@pytest.fixture
def ends() -> Iterator[Ends]:
    needs_bpf()
    if not Path("/dev/net/tun").exists() or not shutil.which("ip"):
        pytest.skip("a path between network namespaces needs /dev/net/tun and iproute2")
    made = Ends(f"tf-one-{os.getpid()}", f"tf-other-{os.getpid()}")
    with ExitStack() as cleanup:
        for name in (made.one, made.other):
            run(["ip", "netns", "add", name])
            cleanup.callback(run, ["ip", "netns", "delete", name])
        yield made


@contextmanager
def path(ends: Ends, *, delay_us: int = 0, loss_percent: float = 0.0) -> Iterator[int]:
    """Open a path between the ends that takes ``delay_us`` in each direction; yield the id of its process."""
    program = (sys.executable, "-m", "e2e.link.delay", ends.one, ends.other, str(delay_us), str(loss_percent))
    with subprocess.Popen([*URGENT, *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as carrier:
        assert carrier.stdout is not None
        assert carrier.stdout.readline() == b"ready\n"
        yield carrier.pid


@contextmanager
def entered(netns: str) -> Iterator[None]:
    """Let sockets that are made meanwhile be in ``netns``."""
    with Path("/proc/thread-self/ns/net").open() as home, Path("/var/run/netns", netns).open() as away:
        assert LIBC.setns(away.fileno(), NEW_NETWORK) == 0
        try:
            yield
        finally:
            assert LIBC.setns(home.fileno(), NEW_NETWORK) == 0


@contextmanager
def connection(ends: Ends) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a connection from ``one`` to ``other``."""
    with ExitStack() as opened:
        with entered(ends.other):
            server = opened.enter_context(socket.create_server((ADDRESSES[1], 7400)))
        with entered(ends.one):
            client = opened.enter_context(socket.socket())
        client.settimeout(30)
        client.connect(server.getsockname())
        served = opened.enter_context(server.accept()[0])
        served.settimeout(30)
        for end in (client, served):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client, served


def converse(client: socket.socket, served: socket.socket, rounds: int) -> None:
    """Exchange messages that the kernels acknowledge at once, so that no program's delay counts."""
    for _ in range(rounds):
        for sender, receiver in ((client, served), (served, client)):
            sender.sendall(b"x")
            receiver.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            receiver.recv(1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("delay_us", "windows", "rounds"), [(1000, 20, 20), (10_000, 5, 12), (50_000, 5, 4), (100_000, 5, 3)]
)
async def test_round_trips_take_what_the_path_takes(
    ends: Ends, way: Way, delay_us: int, windows: int, rounds: int
) -> None:
    means: dict[str, list[float]] = {SERVED: [], DIALED: []}
    async with attached(way) as programs:
        with path(ends, delay_us=delay_us // 2), connection(ends) as (client, served):
            for _ in range(windows):
                await asyncio.to_thread(converse, client, served, rounds)
                for one in await of(programs, ends):
                    assert one.samples >= rounds - 1
                    assert one.rtt_min_us >= delay_us
                    means[one.direction].append(one.rtt_sum_us / one.samples)
    # What else this machine does can only lengthen a path: the calmest window is the emulated one.
    assert min(means[SERVED]) == pytest.approx(delay_us, rel=0.1)
    assert min(means[DIALED]) == pytest.approx(delay_us, rel=0.1)


@pytest.mark.parametrize("way", WAYS)
async def test_retransmits_are_those_that_the_kernel_counts(ends: Ends, way: Way) -> None:
    async with attached(way) as programs:
        before = ends.retransmits()
        with path(ends, delay_us=1000, loss_percent=5.0):
            await asyncio.to_thread(stream, ends, 2_000_000)
        after = ends.retransmits()
        harvest = await programs.harvest()
        for inode, now, then in zip(ends.inodes(), after, before, strict=True):
            readings = [each for each in harvest.readings if each.network == inode]
            assert abs(sum(each.retransmits for each in readings) - (now - then)) <= 1
        assert sum(after) - sum(before) > 20
        served = next(each for each in harvest.readings if each.network == ends.inodes()[1])
        dialed = next(each for each in harvest.readings if each.network == ends.inodes()[0])
        assert dialed.lost
        assert dialed.sent
        assert dialed.sent >= 2_000_000 / 1500
        assert served.out_of_order


def stream(ends: Ends, size: int) -> None:
    """Send ``size`` bytes from one end to the other, and let the kernel end what it has begun."""
    with connection(ends) as (client, served):
        client.setblocking(False)
        unsent, unread = memoryview(bytes(size)), size
        deadline = time.monotonic() + 60
        while unread and time.monotonic() < deadline:
            with suppress(BlockingIOError):
                unsent = unsent[client.send(unsent[:65_536]) :] if unsent else unsent
            unread -= len(served.recv(1 << 20))
        assert unread == 0


async def test_syns_that_are_sent_again_count(ends: Ends) -> None:
    async with attached() as programs:
        with path(ends, loss_percent=100.0):
            with entered(ends.one):
                client = socket.socket()
            with client:
                client.settimeout(1.5)
                with pytest.raises(TimeoutError):
                    await asyncio.to_thread(client.connect, (ADDRESSES[1], 7400))
            sent_again = counter(ends.one, "RetransSegs")
        harvest = await programs.harvest()
        (seen,) = [each for each in harvest.readings if each.network == ends.inodes()[0]]
        assert (seen.direction, seen.service_port, seen.retransmits) == (DIALED, 7400, sent_again)
        assert sent_again == 1


async def test_a_path_that_stalls_shows_as_congestion_and_as_spurious_retransmits(ends: Ends) -> None:
    async with attached() as programs:
        with path(ends, delay_us=1000) as carrier, connection(ends) as (client, served):
            await asyncio.to_thread(ping_pong, client, served, 3)
            assert [each.congested_connections for each in await of(programs, ends)] == [0, 0]
            os.kill(carrier, signal.SIGSTOP)
            try:
                client.sendall(b"x" * 1000)
                # First a probe for lost tails, then the timeout.
                await asyncio.to_thread(until, lambda: ends.retransmits()[0] >= 2)
                (stalled,) = [each for each in await of(programs, ends) if each.direction == DIALED]
            finally:
                os.kill(carrier, signal.SIGCONT)
            assert stalled.congested_connections == 1
            assert stalled.retransmits >= 2
            await asyncio.to_thread(served.recv, 1000, socket.MSG_WAITALL)
            await asyncio.to_thread(ping_pong, client, served, 3)
            (mended,) = [each for each in await of(programs, ends) if each.direction == DIALED]
            assert mended.congested_connections == 0
            assert mended.spurious
            assert 1 <= mended.spurious <= ends.retransmits()[0]


async def of(programs: TcpPrograms, ends: Ends) -> list[Reading]:
    return [each for each in (await programs.harvest()).readings if each.network in ends.inodes()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
