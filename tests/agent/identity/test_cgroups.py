"""The tree of cgroups, on a real one where its cost matters."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.identity.support import resolve
from tokenflow_agent.identity import Pod, Pods, cgroups
from tokenflow_agent.identity.cgroups import CgroupTree, unified_tree
from tokenflow_agent.identity.paths import Place
from tokenflow_agent.identity.tombstones import TOMBSTONE_S


def uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def identifier(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def top() -> Iterator[Path]:
    """Return a directory of this test in the cgroup2 tree."""
    tree = unified_tree(Path("/sys/fs/cgroup"))
    if os.geteuid() != 0 or tree is None:
        pytest.skip("making cgroups needs root and a cgroup2 tree")
    directory = tree / f"tokenflow-test-{os.getpid()}"
    directory.mkdir()
    yield directory
    for path, _, _ in os.walk(directory, topdown=False):
        Path(path).rmdir()


def pod(top: Path, number: int, *containers: int) -> Path:
    directory = top / "kubepods" / "burstable" / f"pod{uid(number)}"
    directory.mkdir(parents=True, exist_ok=True)
    for container in containers:
        (directory / identifier(container)).mkdir()
    return directory


def test_pods_and_containers_that_come_and_go_are_noticed(top: Path) -> None:
    tree = CgroupTree(top)
    assert tree.look() == {}
    web = pod(top, 1, 10)
    inode = (web / identifier(10)).stat().st_ino
    assert tree.look() == {web.stat().st_ino: Place(uid(1), ""), inode: Place(uid(1), identifier(10))}
    # One goes, one comes: the number of links stays.
    (web / identifier(10)).rmdir()
    pod(top, 1, 11)
    inode = (web / identifier(11)).stat().st_ino
    assert tree.look() == {web.stat().st_ino: Place(uid(1), ""), inode: Place(uid(1), identifier(11))}
    (web / identifier(11)).rmdir()
    web.rmdir()
    assert tree.look() == {}


def test_cgroups_below_a_container_are_the_pods(top: Path) -> None:
    nested = pod(top, 1, 10) / identifier(10) / "system.slice" / "worker.service"
    nested.mkdir(parents=True)
    assert CgroupTree(top).look()[nested.stat().st_ino] == Place(uid(1), identifier(10))


def test_a_kubelet_inside_a_container_is_found(top: Path) -> None:
    inner = pod(top / "docker" / identifier(1) / "kubelet", 1)
    assert CgroupTree(top).look() == {inner.stat().st_ino: Place(uid(1), "")}


def test_what_is_not_below_kubepods_is_nobodys(top: Path) -> None:
    (top / "user.slice" / f"pod{uid(1)}").mkdir(parents=True)
    assert CgroupTree(top).look() == {}


def test_a_pod_with_very_many_cgroups_is_bounded(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "MAX_DIRECTORIES", 10)
    pod(top, 1, *range(30))
    tree = CgroupTree(top)
    assert len(tree.look()) <= 10
    assert tree.truncated


def cost(work: Callable[[], object]) -> float:
    """Return the least processor time of a few runs, in seconds."""
    times = []
    for _ in range(5):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def test_looking_again_at_three_hundred_pods_is_cheap(top: Path) -> None:
    for number in range(300):
        pod(top, number, *(3 * number + each for each in range(3)))
    tree = CgroupTree(top)
    assert len(tree.look()) == 1200
    pod(top, 300, 2000)
    assert len(tree.look()) == 1202
    assert cost(tree.look) < 0.5 * cost(lambda: list(os.walk(top)))


def test_the_tree_of_a_hybrid_node_is_found(tmp_path: Path) -> None:
    assert unified_tree(tmp_path) is None
    (tmp_path / "cgroup.controllers").touch()
    assert unified_tree(tmp_path) == tmp_path
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").touch()
    assert unified_tree(tmp_path) == tmp_path / "unified"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pods_that_come_and_go_leave_nothing_behind(top: Path, tmp_path: Path) -> None:
    clock = Clock()
    known = Pods(cgroup_root=top, log_root=tmp_path, clock=clock)
    for number in range(300):
        directory = pod(top, number)
        log = tmp_path / f"batch_job-{number}_{uid(number)}"
        log.mkdir()
        inode = directory.stat().st_ino
        assert resolve(known, {inode}) == {inode: Pod(uid(number), "batch", f"job-{number}")}
        directory.rmdir()
        log.rmdir()
        clock.now += 1.0
    for _ in range(2):
        clock.now += 2 * TOMBSTONE_S
        known.upkeep()
    assert [known.named(uid(number)) for number in range(300)] == [None] * 300
    assert len(known._places) == 0
