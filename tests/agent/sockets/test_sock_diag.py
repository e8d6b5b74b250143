"""The kernel's own lists of sockets, beside those that ss prints."""

import struct
from ast import literal_eval
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.sockets import namespaces, sock_diag, tcp_info
from tokenflow_agent.sockets.sock_diag import Connection, Listener, SockDiag


def listeners_of(pid: int) -> list[Listener]:
    def read() -> list[Listener]:
        with namespaces.inside(pid), SockDiag() as diag:
            return diag.listeners()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(read).result()


def connections_of(pid: int) -> list[Connection]:
    def read() -> list[Connection]:
        with namespaces.inside(pid), SockDiag() as diag:
            return diag.connections()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(read).result()


@pytest.mark.netns
def test_listeners_are_those_of_ss(network: Any) -> None:
    network.run("listen(8000, 8)")
    network.run("listen(8001, 128, '::1')")
    network.run("connect(8000, 5)")
    seen = {one.port: (one.backlog, one.limit) for one in listeners_of(network.pid)}
    assert seen == {8000: (5, 8), 8001: (0, 128)}
    assert seen == literal_eval(network.run("ss()"))


@pytest.mark.netns
def test_a_full_queue_drops(network: Any) -> None:
    network.run("listen(8000, 2)")
    assert listeners_of(network.pid)[0].drops == 0
    network.run("connect(8000, 6)")
    one = listeners_of(network.pid)[0]
    assert (one.backlog, one.limit) == (3, 2)
    assert one.drops == 3


@pytest.mark.netns
@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", b"\0" * 10 + b"\xff\xff\x7f\0\0\x01"), ("::1", b"\0" * 15 + b"\x01")]
)
def test_connections_have_their_round_trips(network: Any, host: str, address: bytes) -> None:
    network.run(f"listen(8000, 8, {host!r})")
    network.run(f"connect(8000, 1, {host!r})")
    network.run("accept(8000, 1)")
    network.run("exchange(20)")
    seen = {one.port: one for one in connections_of(network.pid)}
    assert len(seen) == 2
    served = seen[8000]
    assert seen[served.peer_port].peer_port == 8000
    assert served.peer == address
    assert 0 < served.info.rtt < 100_000
    assert served.info.total_retrans == 0
    assert served.info.segs_in is not None
    assert 20 <= served.info.segs_in <= 45
    assert served.cookie != seen[served.peer_port].cookie


@pytest.mark.netns
def test_sockets_beyond_the_bound_are_counted(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sock_diag, "MAX_SOCKETS", 3)
    for port in range(8000, 8008):
        network.run(f"listen({port}, 8)")

    def read() -> tuple[int, int]:
        with namespaces.inside(network.pid), SockDiag() as diag:
            return len(diag.listeners()), diag.left_out

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(read).result() == (3, 5)


@pytest.mark.netns
def test_a_namespace_that_ended_is_told(network: Any) -> None:
    network.close()
    with pytest.raises(ProbeError, match=f"process {network.pid}") as refused, namespaces.inside(network.pid):
        pass
    assert refused.value.reason == "NamespaceGone"


def test_an_older_kernels_tcp_info_leaves_out_what_it_lacks() -> None:
    data = bytearray(232)
    data[1] = 3
    struct.pack_into("=II", data, 68, 1500, 200)
    struct.pack_into("=I", data, 100, 7)
    struct.pack_into("=Q", data, 160, 1 << 40)
    whole = tcp_info.parse(bytes(data))
    assert whole is not None
    assert (whole.ca_state, whole.rtt, whole.rttvar, whole.total_retrans) == (3, 1500, 200, 7)
    assert (whole.delivery_rate, whole.rcv_ooopack) == (1 << 40, 0)
    older = tcp_info.parse(bytes(data[:168]))
    assert older is not None
    assert (older.delivery_rate, older.dsack_dups, older.rcv_ooopack) == (1 << 40, None, None)
    oldest = tcp_info.parse(bytes(data[:104]))
    assert oldest is not None
    assert (oldest.total_retrans, oldest.segs_in, oldest.delivery_rate) == (7, None, None)
    assert tcp_info.parse(bytes(data[:103])) is None
