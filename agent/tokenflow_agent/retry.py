"""When what failed is tried again."""

import random
import time
from collections.abc import Callable
from math import inf
from typing import Final

from tokenflow_api.backoff import Backoff

FIRST_S: Final = 1.0
MOST_S: Final = 300.0
"""Of the pause: compiling programs again and again must stay below the cost of running them."""
LASTING_S: Final = 3600.0
"""Pause before what the node is said to lack is tried again."""
STEADY_S: Final = 60.0
"""What worked for so long starts anew with short pauses when it fails."""


class Retry:
    """Pauses that grow at random with each failure in a row (see ``Backoff``).

    Args:
        most_s: the longest of them.
        clock: monotonic, in seconds.
        uniform: draws a number between two.

    Attributes:
        restarts: how often it was tried again after a failure.
    """

    def __init__(
        self,
        *,
        most_s: float = MOST_S,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.restarts = 0
        self._clock = clock
        self._backoff = Backoff(first_s=FIRST_S, most_s=most_s, uniform=uniform)
        self._due_at = -inf
        self._works_since = inf
        self._failed = False

    @property
    def due(self) -> bool:
        """Whether it may be tried now: unless it failed, and the pause after that is not over."""
        return self._clock() >= self._due_at

    def succeeded(self) -> None:
        """Take it that it was tried, and works."""
        self._tried(failed=False)
        self._due_at, self._works_since = -inf, self._clock()

    def failed(self, *, lasting: bool = False, absent: bool = False) -> None:
        """Take it that it was tried in vain, or does not work any more.

        Args:
            lasting: it is a lack of the node's, for which a pause of ``LASTING_S`` does.
            absent: it is not there, so nothing failed: to look for it again is no restart.
        """
        self._tried(failed=not absent)
        now = self._clock()
        if now - self._works_since >= STEADY_S:
            self._backoff.succeeded()
        pause_s = LASTING_S if lasting else self._backoff.failed()
        self._due_at, self._works_since = now + pause_s, inf

    def forget(self) -> None:
        """Take it that it was not tried yet."""
        self._backoff.succeeded()
        self._due_at, self._works_since, self._failed = -inf, inf, False

    def _tried(self, *, failed: bool) -> None:
        self.restarts += self._failed
        self._failed = failed
