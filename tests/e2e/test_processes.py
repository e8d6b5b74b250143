import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import processes
from e2e.cluster.errors import ClusterError

DEAF = 'trap "" TERM; echo deaf; while :; do sleep 0.05; done'


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.end(lambda: processes.marked(tmp_path))


def start(state: Path, script: str) -> subprocess.Popen[bytes]:
    return processes.start(["sh", "-c", script], state=state, log=state / "log")


def test_a_process_is_known_by_its_clusters_state(state: Path) -> None:
    process = start(state, "sleep 60")
    assert process.pid in processes.marked(state)
    assert processes.marked(state / "another") == []


def test_another_clusters_processes_are_told_apart(state: Path) -> None:
    start(state, "sleep 60")
    assert state in processes.others(state / "another")
    assert state not in processes.others(state)


def test_ending_reaches_the_deaf_and_their_children(state: Path) -> None:
    process = start(state, DEAF)
    processes.wait_for("it", lambda: b"deaf" in (state / "log").read_bytes(), timeout_s=10.0, hint="")
    processes.end(lambda: processes.marked(state))
    assert process.wait(timeout=5) != 0
    assert processes.marked(state) == []


def test_ending_leaves_others_alone(state: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        start(state, "sleep 60")
        processes.end(lambda: processes.marked(state))
        alive = stranger.poll() is None
        stranger.kill()
    assert alive


def test_waiting_in_vain_says_for_what_and_where_to_look() -> None:
    with pytest.raises(ClusterError, match=r"the tide did not become ready in 0 s: read the log"):
        processes.wait_for("the tide", lambda: False, timeout_s=0.0, hint="read the log")


def test_the_output_is_kept_in_the_log(state: Path) -> None:
    start(state, f"echo $${{0}}; echo {os.getpid()}").wait(timeout=10)
    assert str(os.getpid()) in (state / "log").read_text()
