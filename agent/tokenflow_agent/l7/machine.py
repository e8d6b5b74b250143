"""Where a kind of machine keeps what a system call is about."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.errors import ProbeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Offsets are bytes in ``struct pt_regs``.

    Attributes:
        call_number: of the number of the system call.
        arguments: of its first four arguments, as they are when it returns.
        parameters: of the first four parameters of a function, as it is entered.
        result: of its result, as it returns.
        numbers: those of the system calls that move data.
    """

    call_number: int
    arguments: tuple[int, int, int, int]
    parameters: tuple[int, int, int, int]
    result: int
    numbers: Mapping[str, int]

    @property
    def constants(self) -> dict[str, int]:
        """Macros for the compiler."""
        return {
            "OFF_CALL_NUMBER": self.call_number,
            **{f"OFF_ARGUMENT_{number}": offset for number, offset in enumerate(self.arguments)},
            **{f"OFF_PARAMETER_{number}": offset for number, offset in enumerate(self.parameters)},
            "OFF_RESULT": self.result,
            **{f"NR_{name}": number for name, number in self.numbers.items()},
        }


_CALLS: Final = ("READ", "WRITE", "READV", "WRITEV", "SENDFILE", "SENDTO", "RECVFROM", "SENDMSG", "RECVMSG")
_MACHINES: Final = {
    "x86_64": Machine(
        call_number=120,
        arguments=(112, 104, 96, 56),
        parameters=(112, 104, 96, 88),
        result=80,
        numbers=dict(zip(_CALLS, (0, 1, 19, 20, 40, 44, 45, 46, 47), strict=True)),
    ),
    # The first argument's register holds the result by then: orig_x0 still has it.
    "aarch64": Machine(
        call_number=280,
        arguments=(272, 8, 16, 24),
        parameters=(0, 8, 16, 24),
        result=0,
        numbers=dict(zip(_CALLS, (63, 64, 65, 66, 71, 206, 207, 211, 212), strict=True)),
    ),
}


def this_machine() -> Machine:
    """Return what this machine is like.

    Raises:
        ProbeError: it is of a kind that is not known.
    """
    name = platform.machine()
    if name not in _MACHINES:
        words = f"the agent does not know the system calls of {name}: use {' or '.join(_MACHINES)}"
        raise ProbeError("MachineUnknown", words)
    return _MACHINES[name]
