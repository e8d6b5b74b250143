"""Open streams, for people."""

from dataclasses import dataclass

from tokenflow_gateway.stream.bounds import Pace
from tokenflow_gateway.stream.routes import Route


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamView:
    """How one stream is doing.

    Attributes:
        route: whose it is.
        pace: how it runs.
        queued_tokens: read from the upstream and not sent.
        queued_bytes: of their events, as they came.
        unsent_bytes: that wait for the network.
        rtt_us: round-trip time of the connection of late, in microseconds; ``None`` where nothing tells.
        tokens: sent.
        age_s: since its request was sent.
    """

    route: Route
    pace: Pace
    queued_tokens: int
    queued_bytes: int
    unsent_bytes: int
    rtt_us: int | None
    tokens: int
    age_s: float
