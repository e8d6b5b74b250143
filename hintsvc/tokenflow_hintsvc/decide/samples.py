"""One window of one path, as the law takes it in."""

from dataclasses import dataclass
from typing import Final

AGENT: Final = "agent"
GATEWAY: Final = "gateway"


@dataclass(frozen=True, order=True, slots=True)
class PathKey:
    """A tenant's streams through one upstream to one destination class."""

    tenant: str
    upstream: str
    destination_class: str

    @property
    def path(self) -> str:
        """Name of the path within its tenant."""
        return f"{self.upstream}/{self.destination_class}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PathSample:
    """One window of a path.

    Attributes:
        key: the path.
        at_ms: start of the newest window in it, in Unix milliseconds.
        rtt_us: mean round-trip time; ``None`` where nothing moved.
        rtt_min_us: the least.
        retransmit_ratio: retransmitted segments to segments received, at most 1.
        delivered_tokens_per_second: tokens that readers acknowledged, over all streams.
        active_streams: streams open.
        missing: sides that saw nothing.
    """

    key: PathKey
    at_ms: int
    rtt_us: float | None
    rtt_min_us: float | None
    retransmit_ratio: float | None
    delivered_tokens_per_second: float
    active_streams: int
    missing: tuple[str, ...]
