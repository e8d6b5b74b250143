"""The probe on the running kernel, with traffic over loopback."""

import asyncio
import os
import socket

import pytest

from tokenflow_agent.kernel import btf
from tokenflow_agent.tcp.reading import Reading
from tokenflow_agent.tcp.tracepoint import TcpTracepoints, open_tracepoints
from tokenflow_api.windows import Direction


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


async def read(probe: TcpTracepoints, port: int) -> list[Reading]:
    harvest = await probe.harvest()
    return [reading for reading in harvest.readings if reading.service_port == port]


@pytest.mark.bpf
@pytest.mark.parametrize("direct", [True, False], ids=["BTFTracepoint", "BCCTracepoint"])
async def test_segments_are_counted_on_both_sides(direct: bool) -> None:
    needs_bpf()
    probe = await open_tracepoints(direct=direct)
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
