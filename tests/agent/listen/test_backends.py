"""Every backend on the running kernel, beside what ss prints."""

import os
from ast import literal_eval
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel import btf
from tokenflow_agent.kernel.bpf import ProgramType
from tokenflow_agent.listen.proc import open_proc
from tokenflow_agent.listen.programs import ListenPrograms, open_programs
from tokenflow_agent.listen.reading import ListenReader, Reading
from tokenflow_agent.listen.sock_diag import open_sock_diag
from tokenflow_agent.sockets.namespaces import Survey, survey

HAS_KPROBES = Path("/sys/bus/event_source/devices/kprobe").exists()
Open = Callable[[Callable[[], Survey]], Awaitable[ListenReader]]

KINDS = [ProgramType.KPROBE] if HAS_KPROBES else [ProgramType.TRACING, ProgramType.RAW_TRACEPOINT]
PROGRAMS = {kind.name: partial(open_programs, kind) for kind in KINDS}
BACKENDS = {**PROGRAMS, "SockDiag": open_sock_diag, "Proc": open_proc}


def only(network: Any) -> Callable[[], Survey]:
    """Have turns go to the test's own namespace, whatever else this machine has."""
    return lambda: Survey({inode: pid for inode, pid in survey().processes.items() if inode == network.inode}, 0)


async def opened(open_backend: Open, network: Any) -> ListenReader:
    if os.geteuid() != 0 or not btf.VMLINUX.exists():
        pytest.skip(f"attaching needs root and {btf.VMLINUX}")
    if open_backend is open_proc:
        reader = await open_proc(survey)
        reader._networks = only(network)
        return reader
    return await open_backend(only(network))


async def readings(reader: ListenReader, network: Any) -> dict[int, Reading]:
    harvest = await reader.harvest()
    return {one.port: one for one in harvest.readings if one.network == network.inode}


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_filling_queue_is_as_long_as_ss_says(network: Any, backend: str) -> None:
    reader = await opened(BACKENDS[backend], network)
    try:
        await reader.harvest()
        network.run("listen(8000, 8)")
        network.run("connect(8000, 5)")
        expected = literal_eval(network.run("ss()"))
        assert expected == {8000: (5, 8)}
        for _ in range(3):  # nothing happens, and they still wait
            seen = (await readings(reader, network))[8000]
            assert seen.backlog == 5
            assert seen.limit == (None if backend == "Proc" else 8)
    finally:
        reader.close()


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_full_queue_and_what_it_turns_away_are_counted(network: Any, backend: str) -> None:
    reader = await opened(BACKENDS[backend], network)
    try:
        network.run("listen(8000, 8)")
        network.run("connect(8000, 1)")
        await reader.harvest()
        network.run("connect(8000, 11)")
        assert literal_eval(network.run("ss()"))[8000] == (9, 8)
        seen = (await readings(reader, network))[8000]
        assert (seen.backlog, seen.drops, seen.overflows) == (9, 3, 3)
        # From now on the kernel tells of no event: the queue is full, and stays so.
        network.run("connect(8000, 4)")
        seen = (await readings(reader, network))[8000]
        assert seen.backlog == 9
        assert seen.drops is not None
        assert seen.drops >= 4
        assert seen.overflows == seen.drops
    finally:
        reader.close()


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.parametrize("backend", PROGRAMS)
async def test_a_short_queue_is_seen_though_it_was_gone_before_the_window_ended(network: Any, backend: str) -> None:
    reader = await opened(PROGRAMS[backend], network)
    try:
        network.run("listen(8000, 8)")
        await reader.harvest()
        network.run("connect(8000, 6)")
        network.run("accept(8000, 6)")
        assert (await readings(reader, network))[8000].backlog == 6
        assert (await readings(reader, network))[8000].backlog == 0
        assert await readings(reader, network) == {}
    finally:
        reader.close()


@pytest.mark.bpf
@pytest.mark.netns
async def test_queues_that_were_full_before_are_found(network: Any) -> None:
    network.run("listen(8000, 8)")
    network.run("connect(8000, 12)")
    reader = await opened(next(iter(PROGRAMS.values())), network)
    try:
        for _ in range(2):
            assert (await readings(reader, network))[8000].backlog == 9
        # Once it moves again, the program sees it, with its limit.
        network.run("accept(8000, 9)")
        network.run("connect(8000, 2)")
        seen = (await readings(reader, network))[8000]
        assert (seen.limit, seen.backlog >= 2) == (8, True)
    finally:
        reader.close()


@pytest.mark.bpf
@pytest.mark.netns
async def test_a_listener_that_is_gone_is_forgotten(new_network: Callable[[], Any]) -> None:
    network = new_network()
    reader = await opened(next(iter(PROGRAMS.values())), network)
    try:
        inode = network.inode
        network.run("listen(8000, 8)")
        network.run("connect(8000, 5)")
        assert len((await reader.harvest()).readings) >= 1
        network.close()
        await reader.harvest()
        assert not [one for one in (await reader.harvest()).readings if one.network == inode]
    finally:
        reader.close()


@pytest.mark.bpf
@pytest.mark.netns
async def test_a_full_map_is_counted_and_the_next_window_starts_anew(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenflow_agent.listen.programs.MAX_QUEUES", 128)
    reader = await opened(next(iter(PROGRAMS.values())), network)
    try:
        for port in range(8000, 8150):
            network.run(f"listen({port}, 8)")
            network.run(f"connect({port}, 1)")
        harvest = await reader.harvest()
        assert harvest.map_usage_percent == {"listen": 100.0}
        assert harvest.lost["MapFull"] >= 22
        for port in range(8000, 8150):
            network.run(f"accept({port}, 1)")
        await reader.harvest()
        network.run("listen(9000, 8)")
        network.run("connect(9000, 3)")
        harvest = await reader.harvest()
        assert harvest.lost["MapFull"] == 0
        assert [one.backlog for one in harvest.readings if one.port == 9000] == [3]
    finally:
        reader.close()


@pytest.mark.bpf
@pytest.mark.netns
async def test_sockets_that_come_and_go_do_not_pile_up(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_agent.listen.programs.MAX_QUEUES", 128)
    reader = await opened(next(iter(PROGRAMS.values())), network)
    assert isinstance(reader, ListenPrograms)
    try:
        for start in range(8000, 8300, 100):
            for port in range(start, start + 100):
                network.run(f"listen({port}, 8)")
                network.run(f"connect({port}, 1)")
                network.run(f"accept({port}, 1)")
            seen = await readings(reader, network)
            assert [port for port in range(start, start + 100) if port not in seen] == []
            await reader.harvest()
        assert len(reader._known) <= 128
    finally:
        reader.close()


@pytest.mark.netns
async def test_namespaces_that_may_not_be_entered_are_told(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("tokenflow_agent.sockets.namespaces._enter", refuse)
    with pytest.raises(ProbeError, match=r"SYS_ADMIN, which spec\.security: Privileged gives") as refused:
        await open_sock_diag(only(network))
    assert refused.value.reason == "NamespacesClosed"


async def test_a_node_that_hides_its_processes_is_told() -> None:
    with pytest.raises(ProbeError, match=r"7 processes are hidden\): the agent needs hostPID") as refused:
        await open_proc(lambda: Survey({4026531840: 5}, 7))
    assert refused.value.reason == "ProcClosed"


@pytest.mark.bpf
@pytest.mark.skipif(HAS_KPROBES, reason="this kernel has kprobes")
async def test_a_kernel_without_kprobes_is_told() -> None:
    with pytest.raises(ProbeError, match="this kernel has no kprobes") as refused:
        await open_programs(ProgramType.KPROBE, survey)
    assert refused.value.reason == "NoKprobes"
