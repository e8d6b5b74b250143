"""What a replica charged to one tenant, and what of it Redis does not know yet."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tokenflow_api.quotas.limits import Limits
from tokenflow_api.quotas.meter import WINDOW, Meter
from tokenflow_hintsvc.quota.exchange import Lot


@dataclass(frozen=True, kw_only=True, slots=True)
class Untold:
    """What Redis is to be told: see ``Question`` for each."""

    returned: Sequence[Lot]
    left: Sequence[str]
    charged: Sequence[Lot]
    held: Sequence[int]


class Account:
    """The last minute of charges, so that they can be told again to a Redis that has forgotten them."""

    def __init__(self) -> None:
        self._requests, self._tokens = Meter(), Meter()
        self._returned: list[Lot] = []
        self._left: list[str] = []
        self._held: list[int] = []
        self._charged: deque[Lot] = deque()

    @property
    def settled(self) -> bool:
        """Whether Redis knows all of it."""
        return not (self._returned or self._left or self._held or self._charged)

    @property
    def owes(self) -> bool:
        """Whether something was charged here alone."""
        return bool(self._charged)

    def advance(self, now_us: int, limits: Limits) -> None:
        """Forget what is older than a minute."""
        self._requests.advance(now_us, limits.requests)
        self._tokens.advance(now_us, limits.tokens)

    def charge(self, lot: Lot) -> None:
        """Note what Redis has charged to this replica."""
        if lot.requests:
            self._requests.charge(lot.bucket, lot.requests)
        if lot.tokens:
            self._tokens.charge(lot.bucket, lot.tokens)

    def owe(self, lot: Lot) -> None:
        """Charge what Redis does not know of; what is older than a minute counts no more."""
        self.charge(lot)
        if self._charged and self._charged[-1].bucket == lot.bucket:
            last = self._charged.pop()
            lot = Lot(bucket=lot.bucket, requests=last.requests + lot.requests, tokens=last.tokens + lot.tokens)
        self._charged.append(lot)
        while self._charged[0].bucket < lot.bucket - WINDOW:
            self._charged.popleft()

    def give_back(self, lot: Lot) -> None:
        """Return what was leased, or admitted for somebody who had left."""
        self.refund(lot)
        self._returned.append(lot)

    def refund(self, lot: Lot) -> None:
        """Note what Redis was told by a commit."""
        self._requests.refund(lot.bucket, lot.requests)
        self._tokens.refund(lot.bucket, lot.tokens)

    def hold(self, number: int, *, most: int) -> None:
        """Hold the stream of a reservation; more than ``most`` make no difference."""
        if len(self._held) < most:
            self._held.append(number)

    def leave(self, slots: Sequence[str]) -> None:
        """Give back slots of streams."""
        self._left += slots

    def tell(self) -> Untold:
        """Hand over what Redis is to be told."""
        untold = Untold(returned=self._returned, left=self._left, charged=list(self._charged), held=self._held)
        self._returned, self._left, self._held = [], [], []
        self._charged.clear()
        return untold

    def restate(self, *, held: Sequence[int]) -> None:
        """Let Redis be told of the whole minute again, and of streams that it may not have heard of."""
        self._held = [*held, *self._held]
        self._returned, self._left = [], []
        requests, tokens = self._requests.taken, self._tokens.taken
        self._charged = deque(
            Lot(bucket=bucket, requests=requests.get(bucket, 0), tokens=tokens.get(bucket, 0))
            for bucket in sorted(requests.keys() | tokens.keys())
        )
