import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.agent.identity.support import resolve
from tokenflow_agent.identity import Origin, Pod, Pods, cgroups
from tokenflow_agent.identity.tombstones import TOMBSTONE_S

UID = "0f9c3a52-1b2c-4d5e-8f90-a1b2c3d4e5f6"
WEB = Pod(UID, "shop", "web-0")
NODE_NETWORK = 4026531840
POD_NETWORK = 4026532001


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def process(node: Path, pid: int, *, network: int, cgroup: str) -> None:
    directory = node / "proc" / str(pid)
    (directory / "ns").mkdir(parents=True)
    (directory / "ns" / "net").symlink_to(f"net:[{network}]")
    (directory / "cgroup").write_text(f"0::{cgroup}\n")


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "cgroup" / "kubepods" / f"pod{UID}" / "c1").mkdir(parents=True)
    (tmp_path / "cgroup" / "system.slice").mkdir()
    (tmp_path / "cgroup" / "cgroup.controllers").touch()
    (tmp_path / "logs" / f"shop_web-0_{UID}").mkdir(parents=True)
    process(tmp_path, 1, network=NODE_NETWORK, cgroup="/init.scope")
    return tmp_path


def pods(node: Path, clock: Clock | None = None) -> Pods:
    return Pods(cgroup_root=node / "cgroup", log_root=node / "logs", proc=node / "proc", clock=clock or Clock())


def container(node: Path) -> Path:
    return node / "cgroup" / "kubepods" / f"pod{UID}" / "c1"


def test_a_cgroup_id_leads_to_the_pods_name(node: Path) -> None:
    inode = container(node).stat().st_ino
    foreign = (node / "cgroup" / "system.slice").stat().st_ino
    assert resolve(pods(node), {inode, foreign, 99}) == {inode: WEB}


def test_a_uid_leads_to_the_pods_name(node: Path) -> None:
    known = pods(node)
    assert known.named(UID) == WEB
    assert known.named("11111111-2222-3333-4444-555555555555") is None


def test_a_pod_keeps_its_name_for_its_last_windows(node: Path) -> None:
    clock = Clock()
    known = pods(node, clock)
    inode = container(node).stat().st_ino
    resolve(known, {inode})
    container(node).rmdir()
    (node / "logs" / f"shop_web-0_{UID}").rmdir()
    clock.now = 1.0
    assert resolve(known, {inode, 5})[inode] == WEB
    clock.now = 2.0 + TOMBSTONE_S
    assert resolve(known, {inode, 6}) == {}


def test_a_pod_that_ended_is_forgotten_though_nobody_asks(node: Path) -> None:
    clock = Clock()
    known = pods(node, clock)
    inode = container(node).stat().st_ino
    resolve(known, {inode})
    container(node).rmdir()
    for clock.now in (40.0, 80.0, 120.0):
        known.upkeep()
    (node / "logs" / f"shop_web-0_{UID}").rename(node / "logs" / f"shop_web-1_{UID}")
    assert resolve(known, {inode}) == {}


def test_a_name_that_comes_late_is_found(node: Path) -> None:
    log = node / "logs" / f"shop_web-0_{UID}"
    log.rmdir()
    known = pods(node)
    inode = container(node).stat().st_ino
    assert resolve(known, {inode}) == {}
    log.mkdir()
    assert resolve(known, {inode}) == {inode: WEB}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[cgroups.CgroupTree]:
    """Return the trees that were looked at, once for each look."""
    seen: list[cgroups.CgroupTree] = []
    real = cgroups.CgroupTree.look
    monkeypatch.setattr(cgroups.CgroupTree, "look", lambda self: (seen.append(self), real(self))[1])
    return seen


def test_processes_of_the_node_cost_no_second_look(node: Path, looks: list[cgroups.CgroupTree]) -> None:
    known = pods(node)
    foreign = (node / "cgroup" / "system.slice").stat().st_ino
    for _ in range(5):
        assert resolve(known, {foreign}) == {}
    assert len(looks) == 1


def test_pods_that_have_no_name_here_cost_no_second_look(node: Path, looks: list[cgroups.CgroupTree]) -> None:
    (node / "logs" / f"shop_web-0_{UID}").rmdir()
    known = pods(node)
    for _ in range(5):
        assert resolve(known, {container(node).stat().st_ino}) == {}
    assert len(looks) == 1


def test_a_slow_look_is_not_repeated_at_once(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    looks: list[float] = []

    def slow(_: cgroups.CgroupTree) -> dict[int, object]:
        looks.append(clock.now)
        clock.now += 0.02
        return {}

    monkeypatch.setattr(cgroups.CgroupTree, "look", slow)
    known = pods(node, clock)
    for cgroup in range(100, 130):
        resolve(known, {cgroup})
        clock.now += 1.0
    # 20 ms in each 10 s are a five-hundredth of a core.
    assert len(looks) == 3


def sockets(known: Pods, origins: Iterable[Origin]) -> list[Pod | None]:
    asked = list(origins)
    found = known.owners(set(asked))
    return [found.get(origin) for origin in asked]


def test_an_unknown_cgroup_is_the_pods_in_whose_network_it_is(node: Path) -> None:
    process(node, 700, network=POD_NETWORK, cgroup=f"/kubepods/pod{UID}/c1")
    asked = [Origin(cgroup=1, network=POD_NETWORK), Origin(network=POD_NETWORK), Origin(cgroup=1, network=77)]
    assert sockets(pods(node), asked) == [WEB, WEB, None]


def test_in_the_nodes_network_only_the_cgroup_tells(node: Path) -> None:
    # A pod of the host's network: its processes share the namespace with those of the node.
    process(node, 700, network=NODE_NETWORK, cgroup=f"/kubepods/pod{UID}/c1")
    inode = container(node).stat().st_ino
    asked = [Origin(cgroup=inode, network=NODE_NETWORK), Origin(cgroup=1, network=NODE_NETWORK)]
    assert sockets(pods(node), asked) == [WEB, None]


def test_a_network_is_another_pods_once_its_number_is_given_again(node: Path) -> None:
    clock = Clock()
    known = pods(node, clock)
    process(node, 700, network=POD_NETWORK, cgroup=f"/kubepods/pod{UID}/c1")
    assert sockets(known, [Origin(network=POD_NETWORK)]) == [WEB]
    for file in ("ns/net", "cgroup"):
        (node / "proc" / "700" / file).unlink()
    (node / "proc" / "700" / "ns").rmdir()
    (node / "proc" / "700").rmdir()
    process(node, 800, network=POD_NETWORK, cgroup="/system.slice/docker.service")
    clock.now = 31.0
    assert sockets(known, [Origin(network=POD_NETWORK)]) == [None]


async def test_what_is_known_is_found_without_a_thread(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(node, 700, network=POD_NETWORK, cgroup=f"/kubepods/pod{UID}/c1")
    known = pods(node)
    asked = {Origin(cgroup=container(node).stat().st_ino), Origin(cgroup=1, network=POD_NETWORK), Origin(network=77)}
    found = await known.find(asked)
    assert list(found.values()) == [WEB, WEB]
    monkeypatch.setattr("asyncio.to_thread", None)
    assert await known.find(asked - {Origin(network=77)}) == found


async def test_who_finds_does_not_wait_in_the_event_loop(node: Path) -> None:
    known = pods(node)
    asked = {Origin(cgroup=container(node).stat().st_ino)}
    await known.find(asked)
    with known._lock:  # a look that takes long
        finding = asyncio.create_task(known.find(asked))
        done, _ = await asyncio.wait([finding], timeout=0.05)
        assert not done
    assert list((await finding).values()) == [WEB]


def test_a_node_that_lacks_nothing_is_active(node: Path) -> None:
    known = pods(node)
    assert known.signal().reason == "Starting"
    known.upkeep()
    assert (known.signal().state, known.signal().backend) == ("Active", "Cgroups")


def test_missing_pod_logs_are_told(node: Path) -> None:
    (node / "logs").rename(node / "elsewhere")
    known = pods(node)
    known.upkeep()
    assert known.signal().reason == "PodLogsMissing"
    assert "mount the node's /var/log/pods" in known.signal().message


def test_missing_cgroups_are_told_and_found_again(node: Path) -> None:
    clock = Clock()
    (node / "cgroup" / "cgroup.controllers").unlink()
    known = pods(node, clock)
    inode = container(node).stat().st_ino
    assert resolve(known, {inode}) == {}
    assert known.signal().reason == "CgroupsMissing"
    assert "mount the node's /sys/fs/cgroup" in known.signal().message
    (node / "cgroup" / "cgroup.controllers").touch()
    clock.now = 31.0
    assert resolve(known, {inode}) == {inode: WEB}
    assert known.signal().state == "Active"


def test_a_tree_without_pods_is_told(node: Path) -> None:
    (node / "cgroup" / "kubepods").rename(node / "cgroup" / "others")
    known = pods(node)
    known.upkeep()
    assert known.signal().reason == "NoPodCgroups"


def test_the_running_kernels_namespaces_are_seen() -> None:
    known = Pods(cgroup_root=Path("/sys/fs/cgroup"), log_root=Path("/var/log/pods"))
    processes = known.networks().processes
    assert Path(f"/proc/{os.getpid()}/ns/net").stat().st_ino in processes
