"""Reads /proc/<pid>/net, which shows the network namespace of that process."""

from pathlib import Path
from typing import Final, NamedTuple

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.sockets.namespaces import GONE

_PROC: Final = Path("/proc")
_LISTEN: Final = b"0A"


class ListeningPort(NamedTuple):
    """A listening socket.

    Attributes:
        port: that it listens on.
        backlog: connections that wait to be accepted.
    """

    port: int
    backlog: int


def listening_ports(pid: int, *, proc: Path = _PROC) -> list[ListeningPort]:
    """Return the listening sockets of a process's network namespace. Their limits are not shown.

    Raises:
        ProbeError: the process is gone, or may not be looked at.
    """
    found: list[ListeningPort] = []
    for table in ("tcp", "tcp6"):
        try:
            with (proc / str(pid) / "net" / table).open("rb") as lines:
                next(lines, None)
                for line in lines:
                    _, local, _, state, queues, *_ = line.split(maxsplit=5)
                    if state != _LISTEN:
                        break  # they come first
                    found.append(ListeningPort(int(local.rpartition(b":")[2], 16), int(queues.partition(b":")[2], 16)))
        except OSError as error:
            # A kernel without IPv6 has one table.
            if table == "tcp" or not isinstance(error, FileNotFoundError):
                raise _refused(pid, error) from error
    return found


def counters(pid: int, table: str, group: str, *, proc: Path = _PROC) -> dict[str, int]:
    """Return the counters of a process's network namespace, since it was made.

    Args:
        pid: of the process.
        table: ``netstat`` or ``snmp``.
        group: first word of the lines, such as ``TcpExt``.
        proc: the host's /proc.

    Raises:
        ProbeError: the process is gone, or may not be looked at.
    """
    try:
        text = (proc / str(pid) / "net" / table).read_text()
    except OSError as error:
        raise _refused(pid, error) from error
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith(f"{group}:")]
    if len(lines) != 2:  # noqa: PLR2004 - names, then values
        return {}
    return {name: int(value) for name, value in zip(*lines, strict=True)}


def _refused(pid: int, error: OSError) -> ProbeError:
    if not isinstance(error, PermissionError):
        # Also a namespace that is being taken apart: the kernel says ENXIO then.
        return ProbeError(GONE, f"process {pid}: {error.strerror}")
    words = f"/proc/{pid}/net: {error.strerror}: the agent needs hostPID and the capability SYS_PTRACE"
    return ProbeError("ProcClosed", words)
