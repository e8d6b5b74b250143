"""When a stream has taken too long."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import Timeouts
from tokenflow_api.quantities import seconds
from tokenflow_gateway.errors import UpstreamTimeoutError

HEARTBEAT_S: Final = 15.0
"""Silence after which the reader is sent a comment, lest something on the way takes the stream for dead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a stream waits for its upstream, in seconds.

    Attributes:
        first_token: for the first token, from when the request was sent.
        between_tokens: for each further one.
        total: for the whole.
    """

    first_token: float
    between_tokens: float
    total: float


def patience(timeouts: Timeouts) -> Patience:
    """Return the patience that a policy sets."""
    return Patience(
        first_token=seconds(timeouts.first_token),
        between_tokens=seconds(timeouts.between_tokens),
        total=seconds(timeouts.total),
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """When a stream will have taken too long.

    Attributes:
        at: monotonic, in seconds.
        after_s: the patience that will then have ended.
        field: its name in the policy.
    """

    at: float
    after_s: float
    field: str

    def error(self, upstream: str) -> UpstreamTimeoutError:
        """Return what the reader is told then."""
        return UpstreamTimeoutError(
            f"upstream {upstream!r} was given up after {self.after_s:g} s (spec.gateway.timeouts.{self.field}):"
            " send the request again"
        )


def limit_of(patience: Patience, *, started: float, heard: float | None, listening: bool) -> Limit:
    """Return the earliest limit of a stream.

    Args:
        patience: of the policy.
        started: when the request was sent.
        heard: when the upstream was last heard of, or read again; ``None`` before the first token.
        listening: whether the upstream is read: while it is not, its silence is not its own.
    """
    total_at = started + patience.total
    if listening:
        since, after_s, field = started, patience.first_token, "firstToken"
        if heard is not None:
            since, after_s, field = heard, patience.between_tokens, "betweenTokens"
        if since + after_s <= total_at:
            return Limit(since + after_s, after_s, field)
    return Limit(total_at, patience.total, "total")
