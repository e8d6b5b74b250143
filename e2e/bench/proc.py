"""What the kernel says of a process: its processor time and its memory."""

import os
import socket
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def processor_s(pid: int) -> float:
    """Return the processor time that a process has taken, all its threads together, in seconds."""
    fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int, field_name: str) -> int:
    """Return a figure of /proc/PID/status, such as VmRSS, in bytes; 0 for a process that has ended."""
    for line in (_PROC / f"{pid}/status").read_text().splitlines():
        if line.startswith(f"{field_name}:"):
            return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    """Return a TCP port of the loopback device that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
