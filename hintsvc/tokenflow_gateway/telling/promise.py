"""What readers were promised, and whether it was kept."""

from dataclasses import dataclass
from enum import StrEnum

from tokenflow_api.pacing_policy import Objectives
from tokenflow_api.quantities import seconds


class Verdict(StrEnum):
    """Whether a stream was what its reader had been promised."""

    MET = "Met"
    LATE_START = "LateStart"
    """The first token came later than ``objectives.firstToken``."""
    LATE_TOKENS = "LateTokens"
    """A token with number i came later than i / ``objectives.tokensPerSecond`` after the first."""
    BROKEN = "Broken"
    """It did not come to its end."""
    LEFT = "Left"
    """The reader left before it could be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What readers were promised.

    Attributes:
        first_token_s: time to the first token.
        tokens_per_second: rate that a reader reads at.
    """

    first_token_s: float
    tokens_per_second: float

    @classmethod
    def of(cls, objectives: Objectives) -> "Promise":
        """Return what a policy promises."""
        return cls(first_token_s=seconds(objectives.first_token), tokens_per_second=float(objectives.tokens_per_second))
