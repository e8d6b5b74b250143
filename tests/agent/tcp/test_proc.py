"""Counters of a network namespace of the test's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.identity import Pod, Pods
from tokenflow_agent.sockets.namespaces import Survey, survey
from tokenflow_agent.sources import Window
from tokenflow_agent.tcp.proc import TcpProc, open_proc
from tokenflow_agent.tcp.source import TcpSource
from tokenflow_agent.tcp.windows import rows
from tokenflow_api.telemetry_agent import Backend, Ebpf, Probe, TelemetryAgentSpec
from tokenflow_api.windows import OTHER_CLASS

HEAD = "Tcp: InSegs OutSegs RetransSegs EstabResets\n"


def only(network: Any) -> Callable[[], Survey]:
    return lambda: Survey({inode: pid for inode, pid in survey().processes.items() if inode == network.inode}, 0)


@pytest.mark.netns
async def test_segments_of_a_network_are_counted(network: Any) -> None:
    network.run("listen(8000, 8)")
    network.run("connect(8000, 1)")
    network.run("accept(8000, 1)")
    reader = TcpProc(only(network))
    assert (await reader.harvest()).readings == []
    network.run("exchange(50)")
    (reading,) = (await reader.harvest()).readings
    assert reading.network == network.inode
    assert 100 <= reading.segments <= 210
    assert reading.sent == reading.segments
    assert (reading.retransmits, reading.samples) == (0, 0)
    assert (await reader.harvest()).readings == []


async def test_retransmits_are_those_of_the_window(tmp_path: Path) -> None:
    file = tmp_path / "5" / "net" / "snmp"
    file.parent.mkdir(parents=True)
    file.write_text(f"{HEAD}Tcp: 1000 2000 30 4\n")
    reader = TcpProc(lambda: Survey({77: 5}, 0), proc=tmp_path)
    await reader.harvest()
    file.write_text(f"{HEAD}Tcp: 1100 2300 37 5\n")
    (reading,) = (await reader.harvest()).readings
    assert (reading.segments, reading.sent, reading.retransmits, reading.resets) == (100, 300, 7, 1)
    (row,) = rows([(Pod("u", "shop", "web-0"), reading)])
    assert (row.service_port, row.destination_class) == (0, OTHER_CLASS)


@pytest.mark.netns
async def test_round_trips_that_proc_does_not_show_are_told(network: Any, tmp_path: Path) -> None:
    del network  # a namespace to see besides this one
    source = TcpSource(Pods(cgroup_root=Path("/sys/fs/cgroup"), log_root=tmp_path))
    probes = [Probe.TCP_ROUND_TRIP_TIME, Probe.TCP_RETRANSMIT]
    await source.follow(TelemetryAgentSpec(ebpf=Ebpf(backend=Backend.PROC, probes=probes)))
    await source.collect(Window(start_unix_ms=5, length_ms=1000))
    told = {signal.name: signal for signal in source.signals()}
    assert (told["TCPRetransmit"].state, told["TCPRetransmit"].backend) == ("Active", "Proc")
    assert (told["TCPRoundTripTime"].state, told["TCPRoundTripTime"].backend) == ("Degraded", "")
    assert told["TCPRoundTripTime"].reason == "NotShown"
    await source.close()


async def test_a_node_that_hides_its_processes_is_told() -> None:
    with pytest.raises(ProbeError, match="hostPID"):
        await open_proc(lambda: Survey({4026531840: 5}, 7))
