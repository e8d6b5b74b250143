"""Checks of the kernel: what it is, and what it lets this process do."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenflow_agent.commands.doctor.check import Check, State
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel import btf
from tokenflow_agent.kernel.bpf import REMEDY
from tokenflow_agent.kernel.capabilities import Capability, held

_MACHINES: Final = ("x86_64", "aarch64")
_CAPABILITIES_SINCE: Final = (5, 8)


def kernel(system: os.uname_result) -> Sequence[Check]:
    """Check the version and the machine."""
    what = f"{system.sysname} {system.release} on {system.machine}"
    if system.machine not in _MACHINES:
        return [Check("kernel", State.FAIL, f"{what}: BPF programs are loaded on {' and '.join(_MACHINES)} alone")]
    version = re.match(r"(\d+)\.(\d+)", system.release)
    if version and (int(version[1]), int(version[2])) < _CAPABILITIES_SINCE:
        words = "it has no capability BPF yet: set spec.security: Privileged"
        return [Check("kernel", State.WARN, f"{what}: {words}")]
    return [Check("kernel", State.OK, what)]


def types(root: Path) -> Sequence[Check]:
    """Check that the kernel describes its types."""
    file = root / btf.VMLINUX.relative_to("/")
    try:
        btf.load(file).tracepoint("tcp_probe")
    except ProbeError as error:
        return [Check("BTF", State.FAIL, f"{error}: without it sockets are polled, and streams not seen")]
    return [Check("BTF", State.OK, f"{file} is readable")]


def capabilities(root: Path) -> Sequence[Check]:
    """Check what this process may do."""
    has = held(root / "proc/self/status")
    named = ", ".join(sorted(capability.name for capability in has)) or "none"
    if Capability.SYS_ADMIN in has:
        return [Check("capabilities", State.OK, named)]
    if not {Capability.BPF, Capability.PERFMON} <= has:
        return [Check("capabilities", State.FAIL, f"{named}: {REMEDY}")]
    if Capability.SYS_PTRACE not in has:
        words = "add SYS_PTRACE, or TLS and the sockets of other pods stay unread"
        return [Check("capabilities", State.WARN, f"{named}: {words}")]
    return [Check("capabilities", State.OK, named)]
