"""What a replica has leased of one tenant's quota, so that a check costs no round trip."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from tokenflow_api.quotas.limits import Limits
from tokenflow_api.quotas.meter import BUCKET_US
from tokenflow_api.quotas.verdict import Ask
from tokenflow_hintsvc.quota.demand import Demand
from tokenflow_hintsvc.quota.exchange import Lot
from tokenflow_hintsvc.quota.lots import Lots

COVER_S: Final = 0.2
"""A lease covers the demand of this time, where the stated bound allows as much."""
LIFE_US: Final = 2 * BUCKET_US
"""A lease that was not used for so long is given back."""
_IDLE_PER_S: Final = 0.01
"""Below this a tenant asks for nothing: the last request was five seconds ago."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to lease: requests, tokens, and slots of streams."""

    requests: int = 0
    tokens: int = 0
    slots: int = 0


class Holdings:
    """Leases of requests, tokens and slots, and how many are wanted."""

    def __init__(self) -> None:
        self.requests = Lots()
        self.tokens = Lots()
        self._slots: deque[tuple[int, int]] = deque()
        self._asked = Demand()
        self._asked_tokens = Demand()
        self._asked_slots = Demand()
        self._typical = 1

    @property
    def slots(self) -> int:
        """How many slots are held."""
        return len(self._slots)

    def note(self, ask: Ask, *, now_us: int) -> None:
        """Note that somebody asks."""
        self._asked.note(now_us, 1)
        self._asked_tokens.note(now_us, ask.tokens)
        self._asked_slots.note(now_us, int(ask.stream))
        self._typical = ask.tokens

    def take(self, ask: Ask) -> tuple[int, int | None] | None:
        """Use what is held for a request.

        Returns:
            The bucket that it is charged to, and the number of its slot; ``None`` where not enough is held.
        """
        if not self.requests.held or self.tokens.held < ask.tokens or (ask.stream and not self._slots):
            return None
        bucket = self.tokens.take(ask.tokens)
        self.requests.take(1)
        if bucket is None:
            return None
        return bucket, self._slots.popleft()[0] if ask.stream else None

    def add_slots(self, numbers: list[int], *, now_us: int) -> None:
        """Hold slots."""
        self._slots.extend((number, now_us) for number in numbers)

    def wanted(self, limits: Limits, *, replicas: int, now_us: int) -> Wanted:
        """Return what to lease on top of what is held.

        Where the bound on leases is below one request, nothing is: each request then asks for itself.
        """
        asked = self._asked.per_second(now_us)
        most, most_tokens = limits.requests.lease(replicas), limits.tokens.lease(replicas)
        if asked < _IDLE_PER_S or not most or most_tokens < self._typical:
            return Wanted()
        tokens = max(self._typical, math.ceil(self._asked_tokens.per_second(now_us) * COVER_S))
        return Wanted(
            requests=_missing(min(most, math.ceil(asked * COVER_S)), self.requests.held),
            tokens=_missing(min(most_tokens, tokens), self.tokens.held),
            slots=_missing(math.ceil(self._asked_slots.per_second(now_us) * COVER_S), len(self._slots)),
        )

    def surrender(self, *, before_us: int) -> tuple[list[Lot], list[int]]:
        """Give up what was leased before that time; return lots, and numbers of slots."""
        before = before_us // BUCKET_US
        lots = [
            Lot(bucket=bucket, requests=amount, tokens=0) for bucket, amount in self.requests.surrender(before=before)
        ]
        lots += [
            Lot(bucket=bucket, requests=0, tokens=amount) for bucket, amount in self.tokens.surrender(before=before)
        ]
        numbers = []
        while self._slots and self._slots[0][1] < before_us:
            numbers.append(self._slots.popleft()[0])
        return lots, numbers


def _missing(target: int, held: int) -> int:
    """Return how much to lease; what is half full can wait, so that exchanges stay few."""
    return target - held if 2 * held <= target else 0
