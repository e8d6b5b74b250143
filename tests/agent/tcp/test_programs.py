"""The programs in the running kernel, with traffic over loopback."""

import asyncio
import socket
import struct
from ipaddress import IPv6Address

import pytest

from tests.agent.tcp.support import (
    DIALED,
    SERVED,
    WAYS,
    attached,
    connection,
    exchange,
    own_cgroup,
    own_network,
    ping_pong,
    seen,
)
from tokenflow_agent.tcp.hooks import Way
from tokenflow_api.telemetry_agent import Ebpf, Probe

pytestmark = pytest.mark.bpf
EACH = pytest.mark.parametrize("way", WAYS)


@EACH
async def test_a_conversation_is_counted_on_both_sides(way: Way) -> None:
    async with attached(way) as programs:
        port = await exchange(100)
        both = await seen(programs, port)
        assert both.keys() == {SERVED, DIALED}
        for one in both.values():
            # A request or an answer each, besides the handshakes.
            assert 100 <= one.segments <= 110
            assert 95 <= one.samples <= 105
            assert one.sent is not None
            assert 100 <= one.sent <= 110
            assert 0 < one.rtt_min_us <= one.rtt_sum_us / one.samples <= one.rtt_max_us
            assert one.rtt_buckets is not None
            assert sum(one.rtt_buckets) == one.samples
            assert one.srtt_sum_us > 0
            assert one.rttvar_sum_us > 0
            assert (one.connections, one.congested_connections) == (1, 0)
            assert (one.retransmits, one.lost, one.spurious, one.out_of_order) == (0, 0, 0, 0)
            assert (one.resets, one.zero_windows) == (0, 0)
            assert one.delivery_sum
            assert one.cgroup == own_cgroup()
            assert one.network == own_network()
        # What was read is gone: the next window starts from nothing.
        assert await seen(programs, port) == {}


@EACH
async def test_who_dialed_is_known_whatever_the_ports(way: Way) -> None:
    async with attached(way) as programs:
        with socket.create_server(("127.0.0.1", 61_000)) as server, socket.socket() as client:
            client.bind(("127.0.0.1", 10_999))
            client.connect(server.getsockname())
            served, _ = server.accept()
            with served:
                ping_pong(client, served, 10)
            both = await seen(programs, 61_000)
        assert both.keys() == {SERVED, DIALED}


@EACH
async def test_networks_are_those_of_the_wire(way: Way) -> None:
    async with attached(way) as programs:
        with connection("::1") as (client, served):
            ping_pong(client, served, 3)
            both = await seen(programs, served.getsockname()[1])
        assert {each.remote for each in both.values()} == {IPv6Address("::").packed}
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as served:
                ping_pong(client, served, 3)
                both = await seen(programs, port)
        # The server has an IPv6 socket, but the client does not.
        assert both.keys() == {SERVED, DIALED}
        assert {each.remote for each in both.values()} == {IPv6Address("::ffff:127.0.0.0").packed}


async def test_older_connections_are_told_by_the_lower_port() -> None:
    with connection(port=10_998) as (client, served):
        async with attached() as programs:
            ping_pong(client, served, 10)
            both = await seen(programs, 10_998)
        assert both.keys() == {SERVED, DIALED}
        # What they did before is nobody's business: from the first segment that was met, every one is counted.
        assert {8 <= each.segments <= 11 for each in both.values()} == {True}


@EACH
async def test_queues_and_closed_windows_show(way: Way) -> None:
    async with attached(way) as programs:
        with connection() as (client, served):
            port = served.getsockname()[1]
            client.setblocking(False)
            sent = 0
            while True:
                try:
                    sent += client.send(bytes(65_536))
                except BlockingIOError:
                    # What is not read fills both queues; the kernel then probes the closed window.
                    break
            await asyncio.sleep(0.5)
            both = await seen(programs, port)
        assert both[DIALED].zero_windows == 1
        assert both[DIALED].unsent_bytes
        assert both[SERVED].unread_bytes
        assert both[SERVED].zero_windows == 0
        assert 65_536 < both[DIALED].unsent_bytes + both[SERVED].unread_bytes <= sent + 65_536


@EACH
async def test_resets_show_on_both_sides(way: Way) -> None:
    async with attached(way) as programs:
        with connection() as (client, served):
            port = served.getsockname()[1]
            ping_pong(client, served, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        both = await seen(programs, port)
        assert {way: each.resets for way, each in both.items()} == {SERVED: 1, DIALED: 1}


async def test_sampling_is_applied_live_and_counts_are_corrected() -> None:
    async with attached(ebpf=Ebpf(sample_one_in=10)) as programs:
        both = await seen(programs, await exchange(5000))
        for one in both.values():
            assert 5000 <= one.segments <= 5010
            assert one.samples == pytest.approx(5000, rel=0.25)
            assert one.rtt_buckets is not None
            assert sum(one.rtt_buckets) == one.samples
        programs.follow(Ebpf(sample_one_in=1))
        both = await seen(programs, await exchange(100))
        assert {95 <= each.samples <= 105 for each in both.values()} == {True}


async def test_a_probe_that_is_switched_off_takes_nothing_of_the_other() -> None:
    async with attached() as programs:
        with connection() as (client, served):
            port = served.getsockname()[1]
            ping_pong(client, served, 20)
            programs.follow(Ebpf(probes=[Probe.TCP_RETRANSMIT]))
            ping_pong(client, served, 20)
            programs.follow(Ebpf())
            ping_pong(client, served, 20)
        both = await seen(programs, port)
        for one in both.values():
            assert 35 <= one.samples <= 45
            # The rest was not looked at, but is not missed.
            assert 60 <= one.segments <= 70


async def test_round_trips_alone_leave_resets_alone() -> None:
    async with attached(ebpf=Ebpf(probes=[Probe.TCP_ROUND_TRIP_TIME])) as programs:
        with connection() as (client, served):
            port = served.getsockname()[1]
            ping_pong(client, served, 3)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        both = await seen(programs, port)
        assert both[SERVED].samples
        assert both[SERVED].resets is None


async def test_the_time_that_programs_take_is_told() -> None:
    async with attached() as programs:
        await exchange(1000)
        harvest = await programs.harvest()
        assert harvest.events >= 2000
        # 20 ns are less than any of them can take, and 20 us more than all of them may.
        assert 20 < harvest.bpf_ns / harvest.events < 20_000
