import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def cluster_tool(*arguments: str, cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "e2e.cluster", *arguments],
        cwd=ROOT,
        env={**os.environ, "TOKENFLOW_CACHE": str(cache), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "--nodes", "-1"], ["up", "--nodes", "many"], ["load"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], tmp_path: Path) -> None:
    done = cluster_tool(*arguments, cache=tmp_path)
    assert done.returncode == 2
    assert "usage: python -m e2e.cluster" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["status"], ["kubectl", "get", "nodes", "-o", "name"], ["helm", "list"], ["shell"]]
)
def test_without_a_cluster_it_says_how_to_get_one(arguments: list[str], tmp_path: Path) -> None:
    done = cluster_tool(*arguments, cache=tmp_path)
    assert done.returncode == 1
    assert "run 'python -m e2e.cluster up' first" in done.stderr


def test_missing_packages_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    done = cluster_tool("up", cache=tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "apt-get install -y " in done.stderr
    assert "iproute2" in done.stderr


def test_help_tells_of_every_command(tmp_path: Path) -> None:
    done = cluster_tool("--help", cache=tmp_path)
    assert done.returncode == 0
    for command in ("up", "down", "status", "load", "kubectl", "helm", "shell"):
        assert f"  {command} " in done.stdout
