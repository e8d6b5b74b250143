"""Network namespaces of the node: which there are, and how to be in another one for a moment."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import ProbeError

GONE: Final = "NamespaceGone"
"""Reason why a namespace whose processes ended cannot be read: pods end at any time."""
_PROC: Final = Path("/proc")
_CLONE_NEWNET: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Survey:
    """Network namespaces that have processes.

    Attributes:
        processes: pid of one process in each, by the namespace's inode.
        hidden: processes whose namespace may not be read.
    """

    processes: dict[int, int]
    hidden: int


def survey(proc: Path = _PROC) -> Survey:
    """Return the network namespaces of all processes that can be seen."""
    processes: dict[int, int] = {}
    hidden = 0
    for entry in os.listdir(proc):  # noqa: PTH208 - thousands of them, whose names are enough
        if not entry.isdecimal():
            continue
        try:
            inode = network_of(int(entry), proc=proc)
        except PermissionError:
            hidden += 1
        except OSError:
            continue  # it ended
        else:
            processes.setdefault(inode, int(entry))
    return Survey(processes, hidden)


def check_visible(survey: Survey) -> None:
    """Check that the processes of others can be seen.

    Raises:
        ProbeError: only this process's own network namespace can.
    """
    if len(survey.processes) > 1:
        return
    raise ProbeError(
        "ProcClosed",
        f"only one network namespace can be seen ({survey.hidden} processes are hidden): the agent needs hostPID and"
        " the capability SYS_PTRACE",
    )


def network_of(pid: int, *, proc: Path = _PROC) -> int:
    """Return the inode of a process's network namespace.

    Raises:
        OSError: the process is gone, or may not be looked at.
    """
    # The link reads net:[4026531840]; following it would open the namespace.
    return int(os.readlink(f"{proc}/{pid}/ns/net")[5:-1])  # noqa: PTH115 - called for every process


@contextmanager
def inside(pid: int, *, proc: Path = _PROC) -> Iterator[None]:
    """Have the calling thread be in the network namespace of a process.

    Only for a thread that ends afterwards: one that could not come back would read the wrong sockets for ever.

    Raises:
        ProbeError: the kernel refused.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter_process(pid, proc)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter_process(pid: int, proc: Path) -> None:
    try:
        descriptor = os.open(f"{proc}/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(descriptor)
        finally:
            os.close(descriptor)
    except PermissionError as error:
        raise ProbeError(
            "NamespacesClosed",
            f"entering the network namespace of process {pid}: {error.strerror}: it needs the capability SYS_ADMIN,"
            " which spec.security: Privileged gives",
        ) from error
    except OSError as error:
        raise ProbeError(GONE, f"process {pid}: {error.strerror}") from error


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
