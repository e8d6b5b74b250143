import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.sockets.namespaces import survey
from tokenflow_agent.sockets.procnet import ListeningPort, counters, listening_ports
from tokenflow_agent.sockets.rotation import SHARE, Rotation


@pytest.mark.netns
def test_another_networks_queues_are_seen(network: Any) -> None:
    network.run("listen(8000, 8)")
    network.run("listen(8001, 8, '::1')")
    network.run("connect(8000, 5)")
    assert listening_ports(network.pid) == [ListeningPort(8000, 5), ListeningPort(8001, 0)]


@pytest.mark.netns
def test_another_networks_overflows_are_counted(network: Any) -> None:
    network.run("listen(8000, 2)")
    network.run("connect(8000, 6)")
    seen = counters(network.pid, "netstat", "TcpExt")
    assert (seen["ListenOverflows"], seen["ListenDrops"]) == (3, 3)
    assert counters(network.pid, "snmp", "Tcp")["RetransSegs"] == 0


@pytest.mark.netns
def test_every_network_is_found_once(new_network: Callable[[], Any]) -> None:
    one, other = new_network(), new_network()
    seen = survey().processes
    assert (seen[one.inode], seen[other.inode]) == (one.pid, other.pid)
    assert os.getpid() not in (one.pid, other.pid)


def test_a_process_that_ended_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as refused:
        listening_ports(5, proc=tmp_path)
    assert refused.value.reason == "NamespaceGone"
    with pytest.raises(ProbeError):
        counters(5, "netstat", "TcpExt", proc=tmp_path)


def test_a_namespace_that_is_taken_apart_is_no_want_of_privilege(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "net").touch()
    for read in (listening_ports, lambda pid, proc: counters(pid, "netstat", "TcpExt", proc=proc)):
        with pytest.raises(ProbeError) as refused:
            read(5, proc=tmp_path)
        assert refused.value.reason == "NamespaceGone"


def test_a_kernel_without_ipv6_has_one_table(tmp_path: Path) -> None:
    (tmp_path / "5" / "net").mkdir(parents=True)
    (tmp_path / "5" / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 00000000:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 12 1\n"
        "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 13 1\n"
    )
    assert listening_ports(5, proc=tmp_path) == [ListeningPort(8080, 3)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_turns_keep_to_their_share_and_skip_nobody() -> None:
    clock = Clock()
    rotation = Rotation(clock)
    processes = {inode: inode + 1000 for inode in range(10)}
    seen: list[int] = []
    for _ in range(100):
        clock.now += 1.0
        for inode, pid in rotation.turn(processes):
            assert pid == inode + 1000
            seen.append(inode)
            clock.now += 0.03
    # What a minute allows is there from the start.
    assert 0.03 * len(seen) <= SHARE * (clock.now + 60.0) + 0.03
    assert seen == [number % 10 for number in range(len(seen))]
    assert len(seen) >= 10


def test_a_short_round_is_done_at_once() -> None:
    assert dict(Rotation(Clock()).turn({1: 10, 2: 20})) == {1: 10, 2: 20}
