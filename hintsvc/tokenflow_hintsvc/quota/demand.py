"""How much is asked for at present."""

import math
from typing import Final

_FORGET_US: Final = 1_000_000
"""Time after which what was asked for counts a third."""


class Demand:
    """An exponentially weighted rate."""

    def __init__(self) -> None:
        self._recent = 0.0
        self._at_us = 0

    def note(self, now_us: int, amount: int) -> None:
        """Note that an amount was asked for."""
        self._recent = self._decayed(now_us) + amount
        self._at_us = now_us

    def per_second(self, now_us: int) -> float:
        """Return how much is asked for in a second."""
        return self._decayed(now_us) * 1_000_000 / _FORGET_US

    def _decayed(self, now_us: int) -> float:
        return self._recent * math.exp(-max(0, now_us - self._at_us) / _FORGET_US)
