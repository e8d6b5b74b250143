"""NVML without a driver: a stub of it, and sessions that use it."""

import functools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.gpu.support import Node
from tokenflow_agent.gpu.session import Session

SOURCE = Path(__file__).parent / "stub" / "nvml.c"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    made.set()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Compiles the stub; the arguments are what gcc shall define."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("the stub of NVML needs gcc: apt-get install gcc")

    @functools.cache
    def build(*defines: str) -> str:
        library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", *(f"-D{define}" for define in defines)]
        subprocess.run([compiler, *options, "-o", str(library), str(SOURCE)], check=True)
        return str(library)

    return build


@pytest.fixture
def session(node: Node, stub: Callable[..., str]) -> Iterator[Callable[..., Session]]:
    """Makes sessions on ``node``; the arguments are libraries, by default the whole stub."""
    made: list[Session] = []

    def make(*libraries: str) -> Session:
        names = libraries or (stub(),)
        made.append(Session(node.pods(), proc=node.proc, names=lambda: names, clock=node.clock))
        return made[-1]

    yield make
    for each in made:
        each.close()
