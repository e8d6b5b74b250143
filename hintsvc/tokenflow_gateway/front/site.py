"""What the connections of one listener share."""

from dataclasses import dataclass, field
from typing import Protocol

from tokenflow_gateway.front.limits import Limits
from tokenflow_gateway.front.running import Exchanges


class Connection(Protocol):
    """A connection, as the listener looks after it."""

    def check(self, now: float) -> None:
        """Break off what waits for too long; ``now`` is by the monotonic clock, in seconds."""
        ...

    def leave(self) -> None:
        """Let the reader ask elsewhere from now on; what is under way ends as it should."""
        ...

    def abort(self) -> None:
        """Close, whatever is under way."""
        ...


@dataclass(kw_only=True, slots=True)
class Site:
    """The state of a listener.

    Attributes:
        limits: of each connection.
        exchanges: all that are in flight.
        connections: all that are open.
        leaving: whether the gateway is about to go.
    """

    limits: Limits
    exchanges: Exchanges
    connections: set[Connection] = field(default_factory=set)
    leaving: bool = False
