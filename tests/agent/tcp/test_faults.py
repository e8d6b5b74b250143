"""What may go wrong with the programs takes away no more than it must."""

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.agent.conftest import Network
from tests.agent.tcp.support import (
    DIALED,
    SERVED,
    WAYS,
    attached,
    connection,
    exchange,
    needs_bpf,
    own_cgroup,
    own_network,
    ping_pong,
    seen,
    unified_cgroups,
)
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.identity import Pods
from tokenflow_agent.sources import Window
from tokenflow_agent.tcp import source
from tokenflow_agent.tcp.hooks import Way
from tokenflow_agent.tcp.programs import Limits, open_programs
from tokenflow_agent.tcp.source import TcpSource
from tokenflow_api.telemetry import SignalState
from tokenflow_api.telemetry_agent import Backend, Ebpf, TelemetryAgentSpec

pytestmark = pytest.mark.bpf
WINDOW = Window(start_unix_ms=1, length_ms=1000)


async def test_a_full_map_is_counted_and_the_next_window_starts_anew() -> None:
    async with attached(limits=Limits(keys=128)) as programs:
        for _ in range(100):
            await exchange(1)
        harvest = await programs.harvest()
        assert len(harvest.readings) == 128
        assert harvest.map_usage_percent == {"tcp": 100.0}
        # Both ends of a hundred connections needed a key each.
        assert harvest.lost["MapFull"] >= 72
        async with asyncio.timeout(30):
            # Whatever else speaks on this machine takes keys, too.
            while (await seen(programs, await exchange(3))).keys() != {SERVED, DIALED}:
                await programs.harvest()


async def test_thousands_of_short_connections_are_counted_and_crowd_nobody_out() -> None:
    def churn(server: socket.socket) -> None:
        for _ in range(5000):
            with socket.create_connection(server.getsockname()) as client, server.accept()[0] as served:
                client.sendall(b"x")
                served.recv(1)

    async with attached(limits=Limits(sockets=1024)) as programs:
        with socket.create_server(("127.0.0.1", 61_001)) as odd, socket.socket() as lasting:
            lasting.bind(("127.0.0.1", 10_997))
            lasting.connect(odd.getsockname())
            with odd.accept()[0] as served:
                with socket.create_server(("127.0.0.1", 0)) as server:
                    await asyncio.to_thread(churn, server)
                    both = await seen(programs, server.getsockname()[1])
                assert {each.connections for each in both.values()} == {5000}
                assert both[SERVED].segments >= 2 * 5000
                # This one is still known by who dialed, though the client has the lower port.
                ping_pong(lasting, served, 10)
                both = await seen(programs, 61_001)
                assert both.keys() == {SERVED, DIALED}
                assert both[SERVED].connections == 1


async def test_it_can_be_opened_again_and_leaves_nothing_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not read
    for _ in range(3):
        async with attached() as programs:
            assert (await seen(programs, await exchange(5))).keys() == {SERVED, DIALED}
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_a_kernel_without_type_information_is_told(tmp_path: Path) -> None:
    needs_bpf()
    with pytest.raises(ProbeError) as refused:
        await open_programs(Way.TYPED, Ebpf(), btf=tmp_path / "vmlinux")
    assert refused.value.reason == "BTFMissing"
    assert "CONFIG_DEBUG_INFO_BTF=y" in refused.value.message


async def test_a_kernel_without_type_information_is_read_in_a_lesser_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_bpf()
    monkeypatch.setattr(source, "open_programs", partial(open_programs, btf=tmp_path / "vmlinux"))
    tcp = TcpSource(Pods(cgroup_root=tmp_path, log_root=tmp_path))
    try:
        await tcp.follow(TelemetryAgentSpec())
        found = await tcp.collect(WINDOW)
        assert found.tcp is not None
        for signal in tcp.signals():
            assert signal.state is SignalState.DEGRADED
            assert signal.reason == "BTFMissing"
            assert signal.backend == Backend.SOCK_DIAG
    finally:
        await tcp.close()


async def test_a_kernel_without_kprobes_says_so(tmp_path: Path) -> None:
    needs_bpf()
    if Way.KPROBE in WAYS:
        return
    tcp = TcpSource(Pods(cgroup_root=tmp_path, log_root=tmp_path))
    try:
        await tcp.follow(TelemetryAgentSpec(ebpf=Ebpf(backend=Backend.KPROBE)))
        (first, _) = tcp.signals()
        assert (first.state, first.reason, first.backend) == (SignalState.DEGRADED, "NoKprobes", "")
    finally:
        await tcp.close()


async def test_what_cannot_be_read_any_more_is_told_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_bpf()
    tcp = TcpSource(Pods(cgroup_root=tmp_path, log_root=tmp_path))
    try:
        await tcp.follow(TelemetryAgentSpec())
        with monkeypatch.context() as broken:
            broken.setattr("tokenflow_agent.kernel.maps.bpf", _refuse)
            assert (await tcp.collect(WINDOW)).tcp is None
        assert {signal.reason for signal in tcp.signals()} == {"MapUnwritable"}
        await tcp.follow(TelemetryAgentSpec())
        assert {signal.backend for signal in tcp.signals()} == {Backend.BCC_TRACEPOINT}
        assert (await tcp.collect(WINDOW)).tcp is not None
    finally:
        await tcp.close()


def _refuse(*_: object) -> int:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.netns
async def test_cgroups_and_network_namespaces_are_told_apart(new_network: Callable[..., Network]) -> None:
    needs_bpf()
    cgroup = unified_cgroups() / f"tf-tcp-{os.getpid()}"
    cgroup.mkdir()
    try:
        async with attached() as programs:
            pod, bare = new_network(cgroup), new_network()
            for network in (pod, bare):
                network.run("listen(7500, 8)")
                network.run("connect(7500, 1)")
                network.run("accept(7500, 1)")
                network.run("exchange(20)")
            with connection(port=7500) as (client, served):
                ping_pong(client, served, 20)
            harvest = await programs.harvest()
        seen = {(each.cgroup, each.network): each for each in harvest.readings if each.service_port == 7500}
        own = own_cgroup()
        places = {(cgroup.stat().st_ino, pod.inode), (own, bare.inode), (own, own_network())}
        assert seen.keys() == places
        assert {each.connections for each in seen.values()} == {1}
        pod.close()
    finally:
        cgroup.rmdir()
