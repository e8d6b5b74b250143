"""Rate limits of one replica, by the generic cell rate algorithm: a sliding window in one number per sender.

ITU-T I.371, Annex A. A sender may spend a second's worth at once, and not more than its rate over any longer time.
"""

import time
from collections.abc import Callable, Hashable
from typing import Final

MAX_SENDERS: Final = 20_000
"""Senders remembered at least. Beyond it those who were silent longest are forgotten, and begin with a whole burst."""
BURST_S: Final = 1.0
_ROUNDING_S: Final = 1e-9


class RateLimiter:
    """When each sender may send again.

    Two generations of senders stand for their order of use: when the newer is full it becomes the older, and what
    was the older is forgotten.
    """

    def __init__(self, *, max_senders: int = MAX_SENDERS, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_senders = max_senders
        self._clock = clock
        self._newer: dict[Hashable, float] = {}
        self._older: dict[Hashable, float] = {}

    def take(self, sender: Hashable, *, per_second: int) -> float:
        """Count a request of ``sender``.

        Returns:
            Seconds until the sender may ask again; 0 when this request is within its rate.
        """
        now = self._clock()
        due = self._newer.get(sender)
        if due is None:
            due = self._older.get(sender, 0.0)
            if len(self._newer) >= self._max_senders:
                self._older, self._newer = self._newer, {}
        due = max(due, now)
        early = due + 1 / per_second - now - BURST_S
        # The tolerance takes in what rounding adds to a burst.
        taken = early <= _ROUNDING_S
        # Who is refused is remembered, too: they still ask.
        self._newer[sender] = due + 1 / per_second if taken else due
        return 0.0 if taken else early
