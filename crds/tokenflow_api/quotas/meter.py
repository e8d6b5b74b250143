"""A limit's memory: how much was taken at once, and how much within a minute.

It is the generic cell rate algorithm in its leaky-bucket form (ITU-T I.371, annex A), which bounds the burst, beside
a sliding minute in buckets of a quarter of a second, which bounds every minute. The hint service's script
keeps the same memory for all replicas; this one serves a replica that is on its own.
"""

import math
from typing import Final

from tokenflow_api.quotas.limits import Rate

BUCKET_US: Final = 250_000
WINDOW: Final = 240
"""Whole buckets in a minute. What was taken counts until a minute has passed since the end of its bucket."""
MINUTE_US: Final = BUCKET_US * WINDOW


class Meter:
    """What was taken of one limit. Times are in microseconds, all by one clock."""

    def __init__(self) -> None:
        self.taken: dict[int, int] = {}
        self.total = 0
        self._level = 0.0
        self._at_us = 0

    def advance(self, now_us: int, rate: Rate) -> None:
        """Let time pass: the burst refills, and what is older than a minute is forgotten."""
        self._level = max(0.0, self._level - max(0, now_us - self._at_us) * rate.per_minute / MINUTE_US)
        self._at_us = now_us
        oldest = now_us // BUCKET_US - WINDOW
        for bucket in [bucket for bucket in self.taken if bucket < oldest]:
            self.total -= self.taken.pop(bucket)

    def charge(self, bucket: int, amount: int) -> None:
        """Take an amount, whether or not there is room."""
        self._level += amount
        self.taken[bucket] = self.taken.get(bucket, 0) + amount
        self.total += amount

    def refund(self, bucket: int, amount: int) -> None:
        """Return what was taken within ``bucket`` and not used; never more than was taken."""
        self._level = max(0.0, self._level - amount)
        returned = min(amount, self.taken.get(bucket, 0))
        if returned:
            self.taken[bucket] -= returned
            self.total -= returned

    def spread(self, amount: int, *, now_us: int) -> None:
        """Take an amount evenly over the last minute, where only its sum is known."""
        newest = now_us // BUCKET_US
        for index in range(WINDOW):
            part = amount * (index + 1) // WINDOW - amount * index // WINDOW
            if part:
                self.taken[newest - index] = self.taken.get(newest - index, 0) + part
        self.total += amount

    def room(self, rate: Rate) -> int:
        """Return how much may be taken now; negative when more was taken than allowed."""
        return int(min(rate.per_minute - self.total, rate.burst - self._level) // 1)

    def wait_us(self, rate: Rate, amount: int) -> int:
        """Return how long until there is room for ``amount``, if nobody else takes any."""
        wait = max(0.0, (self._level + amount - rate.burst) * MINUTE_US / rate.per_minute)
        over = self.total + amount - rate.per_minute
        for bucket in sorted(self.taken):
            if over <= 0:
                break
            over -= self.taken[bucket]
            wait = max(wait, (bucket + WINDOW + 1) * BUCKET_US - self._at_us)
        return math.ceil(wait)
