"""What the kernel says of a process: its processor time and its memory."""

import os
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError

_PROC: Final = Path("/proc")
_PORTS: Final = range(11_000, 20_000)
"""None of those that the kernel gives to whoever asks for any."""
_TRIES: Final = 100


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
    """Return a TCP port of the loopback device that nobody uses, nor is given by chance until a program listens there.

    Raises:
        BenchError: none was found.
    """
    for port in random.SystemRandom().sample(_PORTS, k=_TRIES):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchError(f"{_TRIES} ports from {_PORTS.start} to {_PORTS.stop - 1} are all in use: look with 'ss -tan'")
