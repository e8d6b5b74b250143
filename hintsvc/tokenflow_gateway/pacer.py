"""When the next tokens of a stream may go out."""

from dataclasses import dataclass
from typing import Final

CATCH_UP_S: Final = 0.1
"""How far a late timer may be made up for: beyond that the time is lost, and no burst follows a pause."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How a stream runs at present.

    Attributes:
        tokens_per_second: greatest rate; ``None`` is unpaced.
        batch_size: tokens to wait for before an event goes out.
        batch_delay_s: longest that a token waits for others.
    """

    tokens_per_second: float | None
    batch_size: int
    batch_delay_s: float


UNPACED: Final = Pace(tokens_per_second=None, batch_size=1, batch_delay_s=0.0)


class Pacer:
    """Keeps a stream to its rate by absolute times, so that the delays of timers do not add up.

    The first token is due at once. Over any stretch of time no more goes out than the rate times that stretch,
    and one batch, and what ``CATCH_UP_S`` bears.
    """

    def __init__(self) -> None:
        self._due = float("-inf")

    def due(self, now: float) -> float:
        """Return the seconds from ``now`` until tokens may go out; 0 when they may."""
        return max(0.0, self._due - now)

    def sent(self, tokens: int, *, at: float, tokens_per_second: float | None) -> None:
        """Note that ``tokens`` went out at ``at``."""
        if tokens_per_second is None or not tokens:
            return
        self._due = max(self._due, at - CATCH_UP_S) + tokens / tokens_per_second
