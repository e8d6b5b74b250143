"""How delivery fares, for those who show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    """Whether a destination is tried."""

    CLOSED = "Closed"
    """It works, or has failed a few times only."""
    OPEN = "Open"
    """It has failed so often that it is left alone for a while."""
    HALF_OPEN = "HalfOpen"
    """One attempt tells whether it works again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationState:
    """How delivery to one policy's hint service fares.

    Attributes:
        policy: whose hint service it is.
        url: its base URL.
        circuit: whether it is tried.
        message: why the last attempt failed; empty when it did not.
        waiting: windows that are not acknowledged.
        lag_ms: age of the oldest of them.
        outcomes: attempts by outcome: ``sent``, ``failed``, ``refused``.
        dropped: windows that it never gets, by reason.
    """

    policy: str
    url: str
    circuit: Circuit
    message: str
    waiting: int
    lag_ms: int
    outcomes: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolState:
    """Where windows wait.

    Attributes:
        disk_bytes: on the disk.
        memory_bytes: in memory, because the disk takes none.
        reason: CamelCase word for why it takes none; empty when it does.
        message: what is wrong with it, and what to do.
    """

    disk_bytes: int = 0
    memory_bytes: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """All of it."""

    spool: SpoolState = SpoolState()
    destinations: tuple[DestinationState, ...] = ()

    @property
    def dropped(self) -> int:
        """Windows that a destination never gets, over all destinations."""
        return sum(sum(destination.dropped.values()) for destination in self.destinations)

    @property
    def lag_ms(self) -> int:
        """Age of the oldest window that somebody waits for."""
        return max((destination.lag_ms for destination in self.destinations), default=0)
