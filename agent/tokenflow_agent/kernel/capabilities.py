"""What this process may do to the kernel."""

from enum import IntEnum
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")


class Capability(IntEnum):
    """Capabilities that the agent uses, in the kernel's numbers (linux/capability.h)."""

    NET_ADMIN = 12
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    PERFMON = 38
    BPF = 39


def held(status: Path = _STATUS) -> frozenset[Capability]:
    """Return those that a process has.

    Args:
        status: its status in /proc; by default this process's.
    """
    line = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return frozenset(capability for capability in Capability if mask >> capability & 1)


def may_load_programs() -> bool:
    """Tell whether the kernel would take a BPF program from this process."""
    return Capability.SYS_ADMIN in held() or {Capability.BPF, Capability.PERFMON} <= held()
