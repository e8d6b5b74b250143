"""TCP health of a pod, from its sockets to the table."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent.conftest import Network
from tests.agent.tcp.support import exchange, needs_bpf, unified_cgroups
from tokenflow_agent.identity import Pods
from tokenflow_agent.sources import Window
from tokenflow_agent.tcp.source import TcpSource
from tokenflow_api.telemetry import SignalState
from tokenflow_api.telemetry_agent import Backend, Ebpf, Probe, TelemetryAgentSpec
from tokenflow_api.windows import TcpWindows

pytestmark = [pytest.mark.bpf, pytest.mark.netns]
SPEC = TelemetryAgentSpec()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Node:
    """A node with one pod, of two containers."""

    root: Path
    logs: Path
    containers: tuple[Path, Path]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    needs_bpf()
    uid = str(uuid.uuid4())
    root = unified_cgroups() / f"tf-tcp-{os.getpid()}"
    pod = root / "kubepods" / f"pod{uid}"
    containers = (pod / ("a" * 64), pod / ("b" * 64))
    (tmp_path / f"shop_web-0_{uid}").mkdir()
    with ExitStack() as cleanup:
        for directory in (root, root / "kubepods", pod, *containers):
            directory.mkdir()
            cleanup.callback(directory.rmdir)
        yield Node(root, tmp_path, containers)


async def collected(source: TcpSource, spec: TelemetryAgentSpec = SPEC) -> TcpWindows:
    found = await source.collect(Window(start_unix_ms=7, length_ms=1000))
    await source.follow(spec)
    assert found.tcp is not None
    return found.tcp


def talk(network: Network, rounds: int) -> None:
    network.run("listen(8000, 8)")
    network.run("connect(8000, 1)")
    network.run("accept(8000, 1)")
    network.run(f"exchange({rounds})")


async def test_a_pods_containers_are_one_row_and_the_rest_is_outside(
    node: Node, new_network: Callable[..., Network]
) -> None:
    clock = Clock()
    source = TcpSource(Pods(cgroup_root=node.root, log_root=node.logs), clock=clock)
    networks = [new_network(container) for container in node.containers]
    try:
        await source.follow(SPEC)
        for network in networks:
            talk(network, 20)
        # One run in 64 of each processor is timed: so many that one of them has as many, wherever they run.
        await exchange(64 * (os.cpu_count() or 1))
        found = await source.collect(Window(start_unix_ms=7, length_ms=1000))
        rows = found.tcp
        assert rows is not None
        assert rows.pod_name == ["web-0", "web-0"]
        assert rows.pod_namespace == ["shop", "shop"]
        assert rows.service_port == [8000, 8000]
        assert rows.destination_class == ["127.0.0.0/24", "127.0.0.0/24"]
        assert sorted(rows.direction) == ["Dialed", "Served"]
        assert rows.connections == [2, 2]
        assert [samples for samples in rows.samples if not 36 <= samples <= 46] == []
        assert rows.path_min_rtt_us == rows.rtt_min_us
        assert None not in rows.rtt_p99_us
        assert found.outside >= 40
        assert found.bpf_ns > 0
        # A window without a sample still knows the least of the last ten seconds.
        least = dict(zip(rows.direction, rows.rtt_min_us, strict=True))
        clock.now = 9.0
        networks[0].run("exchange(1)")
        rows = await collected(source)
        assert all(now <= least[way] for way, now in zip(rows.direction, rows.path_min_rtt_us, strict=True))
        assert {signal.name: (signal.state, signal.backend) for signal in source.signals()} == {
            Probe.TCP_ROUND_TRIP_TIME: (SignalState.ACTIVE, Backend.BTF_TRACEPOINT),
            Probe.TCP_RETRANSMIT: (SignalState.ACTIVE, Backend.BTF_TRACEPOINT),
        }
    finally:
        await source.close()
        for network in networks:
            network.close()


async def test_backends_and_probes_change_live(node: Node, new_network: Callable[..., Network]) -> None:
    source = TcpSource(Pods(cgroup_root=node.root, log_root=node.logs))
    network = new_network(node.containers[0])
    try:
        await source.follow(SPEC)
        talk(network, 20)
        rows = await collected(source, TelemetryAgentSpec(ebpf=Ebpf(backend=Backend.BCC_TRACEPOINT)))
        assert len(rows) == 2
        network.run("exchange(20)")
        rows = await collected(source, TelemetryAgentSpec(ebpf=Ebpf(probes=[Probe.TCP_RETRANSMIT])))
        assert [samples for samples in rows.samples if not 18 <= samples <= 23] == []
        assert [signal.name for signal in source.signals()] == [Probe.TCP_RETRANSMIT]
        network.run("exchange(20)")
        rows = await collected(source, TelemetryAgentSpec(ebpf=Ebpf(probes=[Probe.HTTP_LATENCY])))
        assert sum(rows.samples) == 0
        assert source.signals() == []
        assert (await source.collect(Window(start_unix_ms=9, length_ms=1000))).tcp is None
    finally:
        await source.close()
        network.close()
