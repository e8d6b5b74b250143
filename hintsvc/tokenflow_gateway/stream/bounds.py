"""What bounds a stream, and which bound acts."""

from dataclasses import dataclass
from enum import StrEnum

from tokenflow_api.hints import PathState


class Bound(StrEnum):
    """What holds a stream back."""

    NONE = "None"
    """Nothing: the policy does not enforce, or the path is clear and unbounded."""
    HINT = "Hint"
    """The hint for its path, or what it drifted to."""
    SOCKET = "Socket"
    """The stream's own connection."""
    QUOTA = "Quota"
    """The tenant's tokens per minute."""
    FALLBACK = "Fallback"
    """The policy's fallback: there never was a hint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How a stream runs at present.

    Attributes:
        tokens_per_second: greatest rate; ``None`` is unpaced.
        batch_size: most tokens that are put into one event; 1 merges nothing.
        batch_delay_s: longest that a token waits for others.
        state: of the path.
        bound: what acts.
    """

    tokens_per_second: float | None
    batch_size: int = 1
    batch_delay_s: float = 0.0
    state: PathState = PathState.CLEAR
    bound: Bound = Bound.NONE


UNPACED = Pace(tokens_per_second=None)
