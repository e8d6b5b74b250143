"""Where the driver's library is looked for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.gpu.support import H100, Node
from tokenflow_agent.gpu.library import candidates


@pytest.mark.parametrize(
    "folder",
    [
        "run/nvidia/driver/usr/lib/x86_64-linux-gnu",
        "run/nvidia/driver/usr/lib64",
        "home/kubernetes/bin/nvidia/lib64",
        "usr/lib/aarch64-linux-gnu",
        "usr/lib64",
    ],
)
def test_the_hosts_library_is_found_by_its_version(tmp_path: Path, folder: str) -> None:
    place = tmp_path / "1" / "root" / folder
    place.mkdir(parents=True)
    (place / "libnvidia-ml.so.550.54.14").touch()
    (place / "libnvidia-ml.so.1").symlink_to("libnvidia-ml.so.550.54.14")
    found = [name for name in candidates(tmp_path) if name.startswith(str(tmp_path))]
    assert found == [str(place / "libnvidia-ml.so.550.54.14")]


def test_the_linkers_own_comes_first(tmp_path: Path) -> None:
    assert next(candidates(tmp_path)) == "libnvidia-ml.so.1"


def test_a_host_whose_files_are_denied_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Path.glob

    def denied(path: Path, pattern: str) -> Iterator[Path]:
        if path.is_relative_to(tmp_path):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, pattern)

    monkeypatch.setattr(Path, "glob", denied)
    assert not [name for name in candidates(tmp_path) if name.startswith(str(tmp_path))]


def test_the_linkers_own_is_used(node: Node, stub: Callable[..., str]) -> None:
    node.set(f"gpu {H100}")
    told = subprocess.run(
        [sys.executable, "-m", "e2e.gpu", "--between", "0"],
        env=os.environ | {"LD_LIBRARY_PATH": str(Path(stub()).parent)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    reading = json.loads(told.stdout)
    assert reading["samples"]["uuid"] == ["GPU-a"]
    assert reading["samples"]["sm_occupancy_percent"] == [42]


def test_without_the_library_pynvml_is_not_even_imported(node: Node) -> None:
    script = f"""
import sys
from pathlib import Path
from tokenflow_agent.errors import NvmlError
from tokenflow_agent.gpu.session import Session
from tokenflow_agent.identity import Pods
session = Session(Pods(cgroup_root=Path(), log_root=Path()), names=lambda: [{str(node.proc / "none")!r}])
try:
    session.read()
except NvmlError as error:
    print(error.reason, "pynvml" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)
    assert told.stdout.decode().split() == ["NVMLLibraryNotFound", "False"]
