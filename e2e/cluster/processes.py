"""Starts the cluster's processes, and ends those and no others.

Each carries a marker in its environment that names this cluster's state directory. It outlives a
crash of the tool between the start of a process and any record of it, and a process id that was
given to somebody else does not carry it.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from e2e.cluster.errors import ClusterError
from e2e.cluster.settings import MARKER

_END_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.05


def start(command: Sequence[str], *, state: Path, log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a process of the cluster, which outlives this one, and return its id.

    Args:
        command: program and arguments.
        state: the cluster's state directory.
        log: file that its output is added to.
        env: variables added to this process's own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.posix_spawnp(
        command[0],
        list(command),
        {**os.environ, **(env or {}), MARKER: str(state)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def marked(state: Path) -> list[int]:
    """Return the ids of all processes of the cluster whose state is in ``state``."""
    return [pid for pid, directory in _markers() if directory == state]


def others(state: Path) -> set[Path]:
    """Return the state directories of all clusters that run here besides the one in ``state``."""
    return {directory for _, directory in _markers()} - {state}


def end(find: Callable[[], Iterable[int]]) -> None:
    """Kill the processes that ``find`` finds, and those that they leave behind.

    Nothing that they hold is kept, so there is nothing that they should finish first.

    Raises:
        ClusterError: some would not end.
    """
    deadline = time.monotonic() + _END_TIMEOUT_S
    while pids := list(find()):
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {pids} would not end: look at them with ps, then run down again")
        for pid in pids:
            _kill(pid)
        time.sleep(_POLL_S)


def wait_for(what: str, ready: Callable[[], bool], *, timeout_s: float, hint: str) -> None:
    """Wait until ``ready`` says so.

    Raises:
        ClusterError: it did not within ``timeout_s`` seconds; the message ends in ``hint``.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not become ready in {timeout_s:.0f} s: {hint}")
        time.sleep(_POLL_S)


def _markers() -> Iterator[tuple[int, Path]]:
    """Yield the processes of all clusters, each with its cluster's state directory.

    A cluster in a container has a machine to itself, in whose ways we are not.
    """
    prefix = f"{MARKER}=".encode()
    here = Path("/proc/self/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            elsewhere = (entry / "ns" / "pid").readlink() != here
            environment = b"" if elsewhere else (entry / "environ").read_bytes()
        except OSError:
            # It ended while we looked.
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(prefix):
                yield int(entry.name), Path(os.fsdecode(variable.removeprefix(prefix)))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        # It ended by itself.
        return
