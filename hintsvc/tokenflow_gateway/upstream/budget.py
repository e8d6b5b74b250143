"""A budget for further tries, so that an outage is not multiplied (as in Finagle, and gRFC A6)."""

from typing import Final

SHARE: Final = 0.2
"""Further tries per request, in the long run."""
MOST: Final = 20.0
"""Further tries at once."""


class RetryBudget:
    """Grows with each request, and shrinks with each further try."""

    def __init__(self) -> None:
        self._left = MOST

    def deposit(self) -> None:
        """Take in a request."""
        self._left = min(MOST, self._left + SHARE)

    def withdraw(self) -> bool:
        """Whether a further try may be made; if so, it is taken from the budget."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
