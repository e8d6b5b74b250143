import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.cluster import processes
from e2e.cluster.errors import ClusterError
from e2e.cluster.settings import MARKER

SLEEP = ["sleep", "600"]


@contextmanager
def cluster_process(directory: Path) -> Iterator[int]:
    pid = processes.start(SLEEP, state=directory, log=directory / "log")
    try:
        yield pid
    finally:
        processes.end(lambda: processes.marked(directory))


def test_a_process_is_known_by_the_cluster_that_started_it(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with cluster_process(ours) as first, cluster_process(theirs) as second:
        assert processes.marked(ours) == [first]
        assert processes.marked(theirs) == [second]
        assert theirs in processes.others(ours)
        assert ours not in processes.others(ours)


def test_children_carry_the_mark_of_their_parent(tmp_path: Path) -> None:
    pid = processes.start(["sh", "-c", "sleep 600 & echo $!; wait"], state=tmp_path, log=tmp_path / "log")
    processes.wait_for("the child", lambda: bool((tmp_path / "log").read_text()), timeout_s=30, hint="")
    assert set(processes.marked(tmp_path)) == {pid, int((tmp_path / "log").read_text())}
    processes.end(lambda: processes.marked(tmp_path))
    assert processes.marked(tmp_path) == []


def test_only_our_own_processes_are_ended(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with cluster_process(ours), cluster_process(theirs) as second, subprocess.Popen(SLEEP) as third:
        processes.end(lambda: processes.marked(ours))
        assert processes.marked(ours) == []
        assert processes.marked(theirs) == [second]
        alive = third.poll() is None
        third.kill()
    assert alive


def test_a_mark_must_name_the_whole_directory(tmp_path: Path) -> None:
    with cluster_process(tmp_path / "cluster-2"):
        assert processes.marked(tmp_path / "cluster") == []


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "it.log"
    pid = processes.start(["sh", "-c", f"echo out; echo err >&2; echo ${MARKER}"], state=tmp_path, log=log)
    assert os.waitpid(pid, 0)[1] == 0
    assert log.read_text() == f"out\nerr\n{tmp_path}\n"


def test_waiting_ends_with_where_to_look() -> None:
    with pytest.raises(ClusterError, match=r"the moon did not become ready in 0 s: look up"):
        processes.wait_for("the moon", lambda: False, timeout_s=0, hint="look up")
