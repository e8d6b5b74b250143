"""Connections as the kernel lists them, in a network namespace of the test's own."""

from collections.abc import Callable
from typing import Any

import pytest

from tokenflow_agent.sockets import sock_diag
from tokenflow_agent.sockets.namespaces import Survey, survey
from tokenflow_agent.sockets.sock_diag import Connection
from tokenflow_agent.sockets.tcp_info import TcpInfo
from tokenflow_agent.tcp.reading import Reading
from tokenflow_agent.tcp.sock_diag import TcpSockDiag, _reading, open_sock_diag
from tokenflow_api.windows import Direction


def only(network: Any) -> Callable[[], Survey]:
    return lambda: Survey({inode: pid for inode, pid in survey().processes.items() if inode == network.inode}, 0)


@pytest.fixture
async def reader(network: Any) -> TcpSockDiag:
    network.run("listen(8000, 8)")
    opened = await open_sock_diag(only(network))
    assert (await opened.harvest()).readings == []
    return opened


async def sides(reader: TcpSockDiag) -> dict[Direction, Reading]:
    return {reading.direction: reading for reading in (await reader.harvest()).readings}


@pytest.mark.netns
async def test_both_sides_of_a_connection_are_read(network: Any, reader: TcpSockDiag) -> None:
    network.run("connect(8000, 1)")
    network.run("accept(8000, 1)")
    network.run("exchange(50)")
    seen = await sides(reader)
    assert set(seen) == {Direction.SERVED, Direction.DIALED}
    for reading in seen.values():
        assert (reading.service_port, reading.network) == (8000, network.inode)
        assert 50 <= reading.segments <= 110
        assert reading.sent is not None
        assert 50 <= reading.sent <= 110
        assert reading.samples == 1
        assert 0 < reading.rtt_min_us <= reading.rtt_sum_us == reading.rtt_max_us < 100_000
        assert (reading.retransmits, reading.connections, reading.unread_bytes) == (0, 1, 0)


@pytest.mark.netns
async def test_connections_of_a_path_are_one_reading(network: Any, reader: TcpSockDiag) -> None:
    network.run("connect(8000, 4)")
    network.run("accept(8000, 4)")
    network.run("exchange(5)")
    seen = await sides(reader)
    for reading in seen.values():
        assert (reading.connections, reading.samples) == (4, 4)
        assert reading.remote == bytes(10) + b"\xff\xff\x7f\0\0\0"
        assert reading.rtt_buckets is not None
        assert sum(reading.rtt_buckets) == 4


@pytest.mark.netns
async def test_only_what_grew_since_the_last_window_counts(network: Any, reader: TcpSockDiag) -> None:
    network.run("connect(8000, 1)")
    network.run("accept(8000, 1)")
    network.run("exchange(50)")
    await reader.harvest()
    assert await sides(reader) == {}
    network.run("exchange(3)")
    assert 3 <= (await sides(reader))[Direction.SERVED].segments <= 8


@pytest.mark.netns
async def test_connections_older_than_the_agent_start_from_nothing(network: Any) -> None:
    network.run("listen(8000, 8)")
    network.run("connect(8000, 1)")
    network.run("accept(8000, 1)")
    network.run("exchange(50)")
    reader = await open_sock_diag(only(network))
    assert await sides(reader) == {}
    network.run("exchange(1)")
    assert (await sides(reader))[Direction.SERVED].segments <= 3


@pytest.mark.netns
async def test_sockets_beyond_the_bound_are_told(
    network: Any, reader: TcpSockDiag, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.run("connect(8000, 5)")
    monkeypatch.setattr(sock_diag, "MAX_SOCKETS", 4)
    assert (await reader.harvest()).lost == {"SocketsFull": 6}


@pytest.mark.netns
async def test_a_pod_that_ended_is_forgotten(network: Any) -> None:
    there = Survey({network.inode: network.pid}, 0)
    answers = iter([there, there, Survey({}, 0)])
    reader = await open_sock_diag(lambda: next(answers))
    await reader.harvest()
    assert list(reader._seen) == [network.inode]
    network.close()
    assert (await reader.harvest()).readings == []
    await reader.harvest()
    assert reader._seen == {}


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [(10, 15, 5), (2**32 - 3, 2, 5), (5000, 7, 0)],
    ids=["grew", "began again after 2^32", "was connected anew"],
)
def test_counters_never_shrink(before: int, now: int, grown: int) -> None:
    def info(count: int) -> TcpInfo:
        counts = {"total_retrans": count, "segs_out": count, "segs_in": count, "dsack_dups": count}
        rest = dict.fromkeys(TcpInfo._fields, 0)
        return TcpInfo(**(rest | counts))

    connection = Connection(
        port=8000, peer_port=40_000, peer=bytes(16), cgroup=1, unread_bytes=0, cookie=1, info=info(now)
    )
    seen = _reading(7, connection, info(before), {8000})
    assert (seen.segments, seen.sent, seen.retransmits, seen.spurious) == (grown,) * 4
