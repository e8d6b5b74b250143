"""When a stream has taken too long."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import Timeouts
from tokenflow_api.quantities import seconds

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
