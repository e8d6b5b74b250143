"""When the next tokens of a stream are due."""

from dataclasses import dataclass
from typing import Final

CATCH_UP_S: Final = 0.1
"""How far a late timer is made up for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How streams run at present.

    Attributes:
        tokens_per_second: greatest rate of one stream.
        batch_size: tokens that the network wants to see together; 1 is each alone.
        batch_delay_s: longest that a token waits for others.
    """

    tokens_per_second: float
    batch_size: int = 1
    batch_delay_s: float = 0.0


class Pacer:
    """Keeps a stream to its rate by absolute times, so that the delays of timers do not add up.

    The first tokens are due at once. Over any stretch of ``L`` seconds at most ``rate * (L + catch_up_s)`` tokens
    go out, and one batch. A rate that changes counts at once, for tokens that wait already too.

    Args:
        catch_up_s: time that may be made up for after a pause, in seconds.
    """

    def __init__(self, *, catch_up_s: float = CATCH_UP_S) -> None:
        self._catch_up_s = catch_up_s
        self._begun = False
        self._slot = 0.0
        self._tokens = 0

    def wait(self, now: float, *, tokens_per_second: float) -> float:
        """Return the seconds from ``now`` until tokens are due; 0 when they are."""
        return max(0.0, self._due(tokens_per_second) - now) if self._begun else 0.0

    def overdue(self, now: float, *, tokens_per_second: float) -> float:
        """Return the tokens whose time had come by ``now``."""
        return max(0.0, now - self._due(tokens_per_second)) * tokens_per_second if self._begun else 0.0

    def sent(self, tokens: int, *, at: float, tokens_per_second: float) -> None:
        """Note that ``tokens`` went out at ``at``."""
        self._slot = max(self._due(tokens_per_second), at - self._catch_up_s) if self._begun else at
        self._tokens = tokens
        self._begun = True

    def _due(self, tokens_per_second: float) -> float:
        return self._slot + self._tokens / tokens_per_second
