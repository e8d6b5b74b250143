"""How many tokens are handed out together: as the network wants it, and as the consumer keeps up."""

from typing import Final

from tokenflow_client._pacer import Pace

MAX_BATCH: Final = 64


class BatchWindow:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989), with the hint's batch as its floor.

    A consumer that comes back when the next token is overdue already is slower than the pace: the window grows by one,
    and the cost of each turn is shared by more. One that comes back before it is due keeps up: the window halves, and
    tokens are handed out sooner. The window only takes what waits already; the hint alone makes tokens wait for others.

    Args:
        most: greatest batch.
    """

    def __init__(self, most: int = MAX_BATCH) -> None:
        self._most = most
        self._window = 1

    def size(self, pace: Pace) -> int:
        """Return the tokens to hand out at most."""
        return min(self._most, max(self._window, pace.batch_size))

    def returned(self, overdue: float) -> None:
        """Note that the consumer came back, and how many of the tokens that wait were due by then."""
        if overdue >= 1.0:
            self._window = min(self._most, self._window + 1)
        elif not overdue:
            self._window = max(1, self._window // 2)
