from pathlib import Path

import pytest

from tokenflow_agent.identity import LOOK_AGAIN_S, TOMBSTONE_S, Pod, Pods, pod_uid

UID = "0f9c3a52-1b2c-4d5e-8f90-a1b2c3d4e5f6"


@pytest.mark.parametrize(
    "path",
    [
        f"/sys/fs/cgroup/kubepods/burstable/pod{UID}/0123abc",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-1.scope",
        f"/sys/fs/cgroup/unified/tf1/kubepods/pod{UID}",
    ],
)
def test_both_cgroup_drivers_are_understood(path: str) -> None:
    assert pod_uid(path) == UID


def test_static_pods_have_a_uid_without_dashes() -> None:
    assert pod_uid(f"/kubepods/pod{'a' * 32}/c") == "a" * 32


@pytest.mark.parametrize("path", ["/sys/fs/cgroup/system.slice/sshd.service", "/podium/x", "/kubepods/besteffort"])
def test_other_cgroups_are_nobodys(path: str) -> None:
    assert pod_uid(path) is None


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "cgroup" / "kubepods" / f"pod{UID}" / "c1").mkdir(parents=True)
    (tmp_path / "cgroup" / "system.slice").mkdir()
    (tmp_path / "logs" / f"shop_web-0_{UID}").mkdir(parents=True)
    return tmp_path


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pods(node: Path, clock: Clock) -> Pods:
    return Pods(cgroup_root=node / "cgroup", log_root=node / "logs", clock=clock)


def container(node: Path) -> Path:
    return node / "cgroup" / "kubepods" / f"pod{UID}" / "c1"


def test_a_cgroup_id_leads_to_the_pods_name(node: Path) -> None:
    inode = container(node).stat().st_ino
    foreign = (node / "cgroup" / "system.slice").stat().st_ino
    assert pods(node, Clock()).resolve({inode, foreign, 99}) == {inode: Pod(UID, "shop", "web-0")}


def test_the_hybrid_hosts_tree_is_found(node: Path) -> None:
    (node / "cgroup").rename(node / "unified")
    (node / "cgroup").mkdir()
    (node / "unified").rename(node / "cgroup" / "unified")
    inode = (node / "cgroup" / "unified" / "kubepods" / f"pod{UID}" / "c1").stat().st_ino
    assert pods(node, Clock()).resolve({inode})[inode].name == "web-0"


def test_a_pod_keeps_its_name_for_its_last_windows(node: Path) -> None:
    clock = Clock()
    known = pods(node, clock)
    inode = container(node).stat().st_ino
    known.resolve({inode})
    container(node).rmdir()
    clock.now = 1.0
    assert known.resolve({inode, 5})[inode].name == "web-0"
    clock.now = 2.0 + TOMBSTONE_S
    assert known.resolve({inode, 6}) == {}


def test_a_name_that_comes_late_is_found(node: Path) -> None:
    log = node / "logs" / f"shop_web-0_{UID}"
    log.rmdir()
    clock = Clock()
    known = pods(node, clock)
    inode = container(node).stat().st_ino
    assert known.resolve({inode}) == {}
    log.mkdir()
    clock.now = LOOK_AGAIN_S
    assert known.resolve({inode})[inode].name == "web-0"


def test_a_uid_leads_to_the_pods_name(node: Path) -> None:
    foreign = "11111111-2222-3333-4444-555555555555"
    assert pods(node, Clock()).named({UID, foreign}) == {UID: Pod(UID, "shop", "web-0")}
