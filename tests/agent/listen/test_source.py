"""Accept queues from the kernel to the table, with the names of pods."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenflow_agent.identity import Pods
from tokenflow_agent.identity.cgroups import unified_tree
from tokenflow_agent.listen.source import ListenSource
from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_agent.sources import Window
from tokenflow_api.telemetry_agent import Backend, Ebpf, Probe, TelemetryAgentSpec
from tokenflow_api.windows import ListenWindows

UID = "0f9c3a52-1b2c-4d5e-8f90-a1b2c3d4e5f6"
CGROUPS = Path("/sys/fs/cgroup")
WINDOW = Window(start_unix_ms=5, length_ms=1000)


def spec(backend: Backend = Backend.AUTO, *probes: Probe) -> TelemetryAgentSpec:
    return TelemetryAgentSpec(ebpf=Ebpf(backend=backend, probes=list(probes) or [Probe.LISTEN_BACKLOG]))


@pytest.fixture
def pod_cgroup() -> Iterator[Path]:
    tree = unified_tree(CGROUPS)
    if os.geteuid() != 0 or tree is None:
        pytest.skip("making cgroups needs root and a cgroup2 tree")
    top = tree / f"tokenflow-test-{os.getpid()}"
    container = top / "kubepods" / f"pod{UID}" / ("ab" * 32)
    container.mkdir(parents=True)
    yield container
    for path, _, _ in os.walk(top, topdown=False):
        Path(path).rmdir()


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    (tmp_path / f"shop_web-0_{UID}").mkdir()
    return Pods(cgroup_root=CGROUPS, log_root=tmp_path)


@pytest.fixture
def pod(pod_cgroup: Path, new_network: Callable[..., Any]) -> Iterator[Any]:
    network = new_network(pod_cgroup)
    yield network
    network.close()


def end(pod: Any, pod_cgroup: Path) -> None:
    pod.close()
    pod_cgroup.rmdir()


async def rows_of(source: ListenSource) -> ListenWindows:
    rows = (await source.collect(WINDOW)).listen
    assert rows is not None
    return rows


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.parametrize(
    "backend", [Backend.AUTO, Backend.BTF_TRACEPOINT, Backend.BCC_TRACEPOINT, Backend.SOCK_DIAG, Backend.PROC]
)
async def test_a_pods_queue_bears_its_name(
    pod: Any, pods: Pods, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other namespaces of this machine would have their turns first.
    turns = Survey({1: os.getpid(), pod.inode: pod.pid}, 0)
    monkeypatch.setattr(pods, "networks", lambda: turns)
    source = ListenSource(pods)
    try:
        pod.run("listen(8000, 8)")
        await source.follow(spec(backend))
        await source.collect(WINDOW)
        pod.run("connect(8000, 5)")
        rows = await rows_of(source)
        row = rows.service_port.index(8000)
        assert (rows.pod_namespace[row], rows.pod_name[row], rows.pod_uid[row]) == ("shop", "web-0", UID)
        assert rows.backlog[row] == 5
        assert rows.backlog_limit[row] == (None if backend is Backend.PROC else 8)
        used = source.signals()[0]
        assert used.state == "Active"
        assert used.backend == ("BTFTracepoint" if backend is Backend.AUTO else backend)
    finally:
        await source.close()


@pytest.mark.bpf
@pytest.mark.netns
async def test_a_pods_last_window_bears_its_name(pod: Any, pods: Pods, pod_cgroup: Path) -> None:
    source = ListenSource(pods)
    try:
        await source.follow(spec())
        pod.run("listen(8000, 8)")
        pod.run("connect(8000, 5)")
        assert (await rows_of(source)).pod_name == ["web-0"]
        pod.run("connect(8000, 2)")
        await asyncio.to_thread(end, pod, pod_cgroup)
        assert (await rows_of(source)).backlog == [7]
        assert len(await rows_of(source)) == 0
    finally:
        await source.close()


async def test_a_source_that_is_not_asked_for_is_silent(pods: Pods) -> None:
    source = ListenSource(pods)
    await source.follow(spec(Backend.AUTO, Probe.TCP_RETRANSMIT))
    assert (await source.collect(WINDOW)).listen is None
    assert source.signals() == []
