"""Exponential backoff with full jitter, after Brooker (AWS Architecture Blog, 2015)."""

import random
from collections.abc import Callable


class Backoff:
    """Pauses that grow with each failure in a row, and are spread so that clients do not come back together."""

    def __init__(
        self, *, first_s: float = 0.25, most_s: float = 10.0, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._uniform = uniform
        self._failures = 0

    def succeeded(self) -> None:
        """Start anew."""
        self._failures = 0

    def failed(self) -> float:
        """Return the seconds to pause for."""
        ceiling = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return self._uniform(0.0, ceiling)
