"""Leaves a service alone that fails again and again, after Nygard ("Release It!", 2007)."""

import random
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from tokenflow_client._errors import CircuitOpenError

FAILURES: Final = 5
"""Failures in a row that open the circuit."""
OPEN_S: Final = 10.0
"""Longest rest; each is between half of it and all of it, so that clients do not come back together."""


class Circuit(StrEnum):
    """Whether requests are let through."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"
    """One request is on its way; what becomes of it decides."""


class CircuitBreaker:
    """Closed until ``failures`` in a row; then open for a rest; then one request decides.

    Whoever is admitted reports how it went, by ``succeeded`` or ``failed``.

    Args:
        failures: in a row that open the circuit.
        open_s: longest rest, in seconds.
        clock: monotonic, in seconds.
        uniform: draws the rest.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        open_s: float = OPEN_S,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._uniform = uniform
        self._failures = 0
        self._until = 0.0
        self.state = Circuit.CLOSED

    @property
    def rest_s(self) -> float:
        """Seconds until a request may be let through again; 0 where one may now."""
        return max(0.0, self._until - self._clock()) if self.state is Circuit.OPEN else 0.0

    def admit(self) -> None:
        """Let a request through.

        Raises:
            CircuitOpenError: it is too early, or another one is on trial.
        """
        if self.state is Circuit.HALF_OPEN:
            raise CircuitOpenError("the hint service failed too often; one request is on trial")
        if self.rest_s:
            raise CircuitOpenError(f"the hint service failed too often; it is asked again in {self.rest_s:.1f} s")
        if self.state is Circuit.OPEN:
            self.state = Circuit.HALF_OPEN

    def succeeded(self) -> None:
        """Note that a request went well."""
        self._failures = 0
        self.state = Circuit.CLOSED

    def failed(self) -> None:
        """Note that a request failed."""
        self._failures += 1
        if self.state is Circuit.HALF_OPEN or self._failures >= self._limit:
            self.state = Circuit.OPEN
            self._until = self._clock() + self._uniform(self._open_s / 2, self._open_s)
