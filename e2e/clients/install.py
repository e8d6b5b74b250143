"""Installs the clients that are not among this project's own dependencies, each from its lock file, into a cache."""

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from e2e.commands import CommandError, run

_HERE: Final = Path(__file__).parent
_INSTALL_S: Final = 300.0


class MissingError(Exception):
    """A client cannot be run on this machine; the message says why."""


def node(cache: Path) -> list[str]:
    """Return the command of the scenarios for Node.

    Raises:
        MissingError: there is no Node, or its packages could not be fetched.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        raise MissingError("node and npm are not installed")
    folder = _HERE / "node"
    # The script stands beside its packages, as Node looks them up from there.
    files = [folder / name for name in ("package.json", "package-lock.json", "scenarios.mjs")]

    def fill(place: Path) -> None:
        for file in files:
            shutil.copy(file, place)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(place)], timeout_s=_INSTALL_S)

    return ["node", str(_installed(cache, files, fill) / "scenarios.mjs")]


def langchain(cache: Path) -> list[str]:
    """Return the command of the scenarios for LangChain.

    Raises:
        MissingError: its packages could not be fetched.
    """
    folder = _HERE / "langchain"
    lock = folder / "requirements.lock"

    def fill(place: Path) -> None:
        run([sys.executable, "-m", "venv", "--without-pip", str(place)])
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "--requirements", str(lock)]
        run([*uv, "--python", str(place / "bin" / "python")], timeout_s=_INSTALL_S)

    place = _installed(cache, [lock], fill)
    return [str(place / "bin" / "python"), str(folder / "scenarios.py")]


def _installed(cache: Path, files: list[Path], fill: Callable[[Path], None]) -> Path:
    """Return the folder that ``fill`` has filled, once for each state of ``files``."""
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    place = cache / f"{files[0].parent.name}-{digest}"
    done = place / ".done"
    with _alone(cache):
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            try:
                fill(place)
            except CommandError as error:
                raise MissingError(f"{files[0].parent.name} cannot be installed: {error}") from error
            done.touch()
    return place


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Keep other test runs out of the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
