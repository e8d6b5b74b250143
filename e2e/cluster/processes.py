"""Starts the cluster's processes, and ends those and no others.

Each carries a marker in its environment that names this cluster's state directory. It outlives a
crash of the tool between the start of a process and any record of it, and a process id that was
given to somebody else does not carry it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from e2e.cluster.errors import ClusterError
from e2e.cluster.settings import MARKER

_TERM_S: Final = 5.0
_KILL_S: Final = 10.0
_POLL_S: Final = 0.05


def start(
    command: Sequence[str], *, state: Path, log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process of the cluster in a session of its own; its output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **(env or {}), MARKER: str(state)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def marked(state: Path) -> list[int]:
    """Return the ids of all processes of the cluster whose state is in ``state``."""
    return [pid for pid in _pids() if _carries(pid, f"{MARKER}={state}".encode())]


def end(find: Callable[[], Iterable[int]]) -> None:
    """End the processes that ``find`` finds, and those that they leave behind: by SIGTERM, then by SIGKILL.

    Raises:
        ClusterError: some would not end.
    """
    for number, patience in ((signal.SIGTERM, _TERM_S), (signal.SIGKILL, _KILL_S)):
        deadline = time.monotonic() + patience
        while pids := list(find()):
            for pid in pids:
                _signal(pid, number)
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
    if left := list(find()):
        raise ClusterError(f"processes {left} would not end: look at them with ps, then run down again")


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


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _carries(pid: int, marker: bytes) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        # It ended while we looked.
        return False
    return marker in environment.split(b"\0")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It ended by itself.
        return
