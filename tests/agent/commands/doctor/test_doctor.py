"""``tokenflow-agent doctor`` as a user calls it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.commands.support import Reply, serving
from tokenflow_operator.plan.daemonset import CAPABILITIES


def doctor(*flags: str, before: tuple[str, ...] = ()) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit status and the checks by name."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "tokenflow_agent", "doctor", "--json", *flags],
        capture_output=True,
        check=False,
        timeout=120,
    )
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)}


@pytest.fixture
def node(tmp_path: Path) -> list[str]:
    """Return the flags of a node that has all but a config."""
    (tmp_path / "logs/llm_vllm-0_0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f").mkdir(parents=True)
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup/cgroup.controllers").touch()
    (tmp_path / "token").write_text("secret")
    return [
        *("--cgroup-root", str(tmp_path / "cgroup"), "--pod-logs", str(tmp_path / "logs")),
        *("--token-file", str(tmp_path / "token"), "--config-file", str(tmp_path / "agent.json")),
        *("--spool-dir", str(tmp_path)),
    ]


def config(tmp_path: Path, url: str) -> None:
    document = {"namespace": "a", "name": "nodes", "generation": 1, "spec": {"gpu": {"mode": "Off"}}}
    (tmp_path / "agent.json").write_text(json.dumps({**document, "ingest": [{"policy": "demo", "url": url}]}))


@pytest.mark.bpf
def test_a_node_that_has_all_is_told_so(tmp_path: Path, node: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("loading BPF programs needs root")
    with serving(lambda _, __: Reply()) as url:
        config(tmp_path, url)
        status, checks = doctor(*node)
    states = {name: check["state"] for name, check in checks.items()}
    assert states["BTF tracepoint"] == "ok"
    assert states["compiler"] == "ok"
    assert states["hint service"] == "ok"
    assert "fail" not in states.values()
    assert status == 0


@pytest.mark.bpf
def test_without_capabilities_it_still_tells(node: list[str]) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("dropping capabilities needs root and setpriv")
    status, checks = doctor(*node, before=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))
    assert status == 1
    assert checks["capabilities"]["state"] == "fail"
    assert checks["BTF tracepoint"]["state"] == "fail"
    assert "allow the capabilities BPF and PERFMON" in checks["BTF tracepoint"]["message"]
    assert checks["pod names"]["state"] == "ok"
    assert "agent.json cannot be read" in checks["config"]["message"]


@pytest.mark.bpf
def test_the_capabilities_of_the_daemon_set_are_enough(tmp_path: Path, node: list[str]) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("dropping capabilities needs root and setpriv")
    config(tmp_path, "http://127.0.0.1:1")
    names = ",".join(f"+{name.lower()}" for name in CAPABILITIES)
    _, checks = doctor(*node, before=("setpriv", f"--bounding-set=-all,{names}", "--inh-caps=-all"))
    ways = ("capabilities", "BTF tracepoint", "raw tracepoint", "uprobe", "compiler")
    assert {checks[way]["state"] for way in ways} == {"ok"}


def test_a_person_gets_a_line_per_check(tmp_path: Path, node: list[str]) -> None:
    with serving(lambda _, __: Reply()) as url:
        config(tmp_path, url)
        done = subprocess.run(
            [sys.executable, "-m", "tokenflow_agent", "doctor", *node], capture_output=True, check=False, timeout=120
        )
    lines = done.stdout.decode().splitlines()
    assert all(line.split()[0] in {"ok", "warn", "fail"} for line in lines)
    assert f"ok   hint service      demo at {url} answers" in lines
    assert "ok   config            a/nodes, generation 1" in lines
