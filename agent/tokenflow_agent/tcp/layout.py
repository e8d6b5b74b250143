"""The structs of ``structs.h`` that the programs share with the agent."""

import socket
import struct
from typing import Any, Final

from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_agent.tcp.reading import Reading
from tokenflow_api.windows import Direction

KEY: Final = struct.Struct("=Q8sIHBB")
VALUE: Final = struct.Struct(f"=3Q6IQ10I{BUCKETS * 4}s")
CONFIG: Final = struct.Struct("=II")
SLOT: Final = struct.Struct("=I")
_MAPPED: Final = bytes(10) + b"\xff\xff"
_HOST_BITS: Final = bytes(8)
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)


def reading(key: tuple[Any, ...], value: tuple[Any, ...]) -> Reading:
    """Return what an entry of the windows says, of ``struct key_t`` and ``struct value_t``."""
    cgroup, prefix, network, service_port, direction, family = key
    remote = _MAPPED + prefix[:4] if family == socket.AF_INET else prefix + _HOST_BITS
    names = (cgroup, network, remote, service_port, _DIRECTIONS[direction])
    return Reading._make((*names, *value[:-1], memoryview(value[-1]).cast("I")))
