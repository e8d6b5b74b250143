"""Checks what the agent's own container has."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenflow_agent.commands.doctor.check import Check, State

NEEDED_BYTES: Final = 192 << 20
"""The compiler takes some 120 MB for a moment, beside the agent's 40."""
_LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of cgroup v2 and v1."""
_UNLIMITED: Final = 1 << 60


def memory(root: Path) -> Sequence[Check]:
    """Check that the container's memory is enough to compile in."""
    limit = min(_limit(root / "sys/fs/cgroup" / name) for name in _LIMITS)
    if limit >= _UNLIMITED:
        return [Check("memory", State.OK, "there is no limit")]
    words = f"the limit is {limit >> 20}Mi"
    if limit < NEEDED_BYTES:
        remedy = f"set spec.resources.limits.memory to {NEEDED_BYTES >> 20}Mi or more"
        return [Check("memory", State.FAIL, f"{words}, too little to compile in: {remedy}")]
    return [Check("memory", State.OK, words)]


def spool(directory: Path, *, most_bytes: int) -> Sequence[Check]:
    """Check that windows can wait on the disk.

    Args:
        directory: of the spool.
        most_bytes: what it may grow to.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"doctor")
            file.flush()
        free = shutil.disk_usage(directory).free
    except OSError as error:
        words = f"{directory} cannot be written ({error.strerror}): windows wait in memory, and few of them:"
        return [Check("spool", State.WARN, f"{words} mount a writable directory of the node there")]
    words = f"{directory} is writable, {free >> 20}Mi are free"
    if free < most_bytes:
        remedy = f"make room, or set spec.spool.maxSize below its {most_bytes >> 20}Mi"
        return [Check("spool", State.WARN, f"{words}: {remedy}")]
    return [Check("spool", State.OK, words)]


def _limit(file: Path) -> int:
    try:
        words = file.read_text().strip()
    except OSError:
        # The other version of cgroups, or the root cgroup, which has no limit.
        return _UNLIMITED
    return int(words) if words.isdigit() else _UNLIMITED
