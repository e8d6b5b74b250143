"""What a backend reads of the listening sockets in one window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Reading(NamedTuple):
    """One listening socket in one window; ``None`` is what cannot be told.

    Attributes:
        cgroup: id of its cgroup; 0 where unknown.
        network: inode of its network namespace.
        port: that it listens on.
        backlog: the most connections that waited to be accepted.
        limit: how many may.
        drops: connections turned away.
        overflows: those of them that found the queue full.
    """

    cgroup: int
    network: int
    port: int
    backlog: int
    limit: int | None = None
    drops: int | None = None
    overflows: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """One reading.

    Attributes:
        readings: listening sockets that were looked at, or that something happened to.
        events: kernel events of listening sockets since the last reading.
        lost: those of them that were not counted, by reason.
        map_usage_percent: how full each kernel map was, by name.
        bpf_ns: time that programs in the kernel ran.
    """

    readings: Sequence[Reading]
    events: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    map_usage_percent: Mapping[str, float] = field(default_factory=dict)
    bpf_ns: int = 0


class ListenReader(Protocol):
    """An opened backend."""

    async def harvest(self) -> Harvest:
        """Return what was seen since the last call.

        Raises:
            ProbeError: it cannot be read any more.
        """

    def close(self) -> None:
        """Let go of the kernel."""
