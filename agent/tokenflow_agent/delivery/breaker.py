"""When a destination that fails is tried again."""

import random
import time
from collections.abc import Callable
from typing import Final

from tokenflow_agent.delivery.state import Circuit
from tokenflow_api.backoff import Backoff

THRESHOLD: Final = 5
"""Failures in a row that open the circuit."""
OPEN_S: Final = 10.0
"""Time that an open circuit rests, from half of it to all of it, so that nodes do not come back together."""


class Breaker:
    """A circuit breaker (Nygard, Release It!) over exponential backoff.

    Args:
        clock: monotonic, in seconds.
        uniform: returns a random number between two.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._backoff = Backoff(most_s=OPEN_S, uniform=uniform)
        self._failures = 0
        self._try_at = float("-inf")

    @property
    def circuit(self) -> Circuit:
        """Whether the destination is tried."""
        if self._failures < THRESHOLD:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self._clock() >= self._try_at else Circuit.OPEN

    def pause_s(self) -> float:
        """Return how long to wait before the next attempt."""
        return max(0.0, self._try_at - self._clock())

    def succeeded(self) -> None:
        """Close the circuit."""
        self._failures, self._try_at = 0, float("-inf")
        self._backoff.succeeded()

    def failed(self, *, at_least_s: float = 0.0) -> None:
        """Count a failure, after which nothing is tried for ``at_least_s``."""
        self._failures += 1
        rest_s = self._backoff.failed() if self._failures < THRESHOLD else self._uniform(OPEN_S / 2, OPEN_S)
        self._try_at = self._clock() + max(rest_s, at_least_s)
