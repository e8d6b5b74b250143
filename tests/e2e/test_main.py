import os
import subprocess
import sys
from pathlib import Path

import pytest


def tool(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "e2e.cluster", *arguments],
        env={**os.environ, "TOKENFLOW_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [(), ("sideways",), ("up", "--nodes", "-1"), ("up", "--nodes", "many"), ("load",)]
)
def test_a_wrong_command_line_ends_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = tool(tmp_path, *arguments)
    assert (done.returncode, done.stderr[:6]) == (2, "usage:")


@pytest.mark.parametrize("arguments", [("status",), ("shell",), ("load", "image"), ("kubectl", "-n", "default", "get")])
def test_without_a_cluster_it_says_how_to_get_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = tool(tmp_path, *arguments)
    assert done.returncode == 1
    assert "no cluster is up: run 'python -m e2e.cluster up' first" in done.stderr
