"""The probe on the running kernel, with traffic over loopback."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tokenflow_agent.ebpf import btf
from tokenflow_agent.ebpf.compile import offsets
from tokenflow_agent.ebpf.probe import TcpProbe, attach
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.windows import Reading
from tokenflow_api.telemetry import Direction


def needs_bpf() -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching BPF programs needs root")
    if not btf.VMLINUX.exists():
        pytest.skip(f"this kernel has no {btf.VMLINUX}")


def low_port() -> int:
    """Return a free port below those that clients get: the lower port counts as the service's."""
    for port in range(10_000, 20_000):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port
    pytest.fail("no free port")


def exchange(rounds: int) -> int:
    """Send that many requests over loopback and return the server's port."""
    with socket.create_server(("127.0.0.1", low_port())) as server:
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                for _ in range(rounds):
                    client.sendall(b"x")
                    accepted.recv(1)
                    accepted.sendall(b"y")
                    client.recv(1)
        return port


async def read(probe: TcpProbe, port: int) -> list[Reading]:
    harvest = await probe.harvest()
    return [reading for reading in harvest.readings if reading.service_port == port]


@pytest.mark.bpf
async def test_segments_are_counted_on_both_sides() -> None:
    needs_bpf()
    probe = await attach()
    try:
        await probe.harvest()
        port = await asyncio.to_thread(exchange, 50)
        seen = await read(probe, port)
        assert {reading.direction for reading in seen} == {Direction.SERVED, Direction.DIALED}
        for reading in seen:
            assert 45 <= reading.segments <= 60
            assert 0 < reading.rtt_min_us <= reading.rtt_sum_us / reading.segments <= reading.rtt_max_us
            assert reading.retransmits == 0
        # What was read is gone: the next window starts from nothing.
        assert await read(probe, port) == []
    finally:
        probe.close()


@pytest.mark.bpf
async def test_an_unasked_tracepoint_is_not_attached() -> None:
    needs_bpf()
    probe = await attach(["tcp_retransmit_skb"])
    try:
        await probe.harvest()
        port = await asyncio.to_thread(exchange, 20)
        assert await read(probe, port) == []
    finally:
        probe.close()


def test_the_running_kernels_offsets_are_plausible() -> None:
    if not btf.VMLINUX.exists():
        pytest.skip(f"this kernel has no {btf.VMLINUX}")
    found = offsets(btf.load())
    assert 0 <= found["OFF_FAMILY"] < 64
    assert found["OFF_SRTT"] > found["OFF_SOCK_CGROUP"] > 0


def test_a_missing_member_is_named() -> None:
    if not btf.VMLINUX.exists():
        pytest.skip(f"this kernel has no {btf.VMLINUX}")
    with pytest.raises(ProbeError, match=r"sock\.sk_nonsense") as refused:
        btf.load().offset("sock", "sk_nonsense")
    assert refused.value.reason == "BTFMemberMissing"


def test_a_kernel_without_type_information_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="CONFIG_DEBUG_INFO_BTF") as refused:
        btf.load(tmp_path / "vmlinux")
    assert refused.value.reason == "BTFMissing"


@pytest.mark.parametrize("data", [b"", b"\x9f\xeb", b"ELF" * 20])
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    with pytest.raises(ProbeError, match="not BTF"):
        btf.Btf(data)
