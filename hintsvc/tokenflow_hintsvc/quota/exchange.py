"""What a replica and the shared quotas tell and ask each other; ``store/quotas.py`` carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_api.quota import Refusal
from tokenflow_api.quotas.limits import Limits

REFUSALS: Final = (None, Refusal.REQUESTS, Refusal.TOKENS, Refusal.STREAMS, Refusal.CAPACITY)
"""By the codes of the shared script."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiter:
    """A request that waits for room; ``slot`` names the stream that it opens, and is empty where it opens none."""

    tokens: int
    slot: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lot:
    """Requests and tokens of one bucket of the shared minute."""

    bucket: int
    requests: int
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What a request that was admitted took in the end.

    Attributes:
        boot: which start of a replica admitted it.
        number: of its reservation.
        bucket: that it was charged to.
        reserved: tokens.
        used: tokens.
    """

    boot: str
    number: int
    bucket: int
    reserved: int
    used: int

    @property
    def slot(self) -> str:
        """Name of the stream that it held, if it held one."""
        return slot(self.boot, self.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a replica tells and asks of one tenant's quota.

    Attributes:
        tenant: whose quota.
        sequence: unique among this replica's questions; one that comes again has the same.
        limits: of the tenant.
        returned: leases that were not used.
        left: slots that were not used.
        charged: what was admitted without asking.
        held: numbers of this replica's reservations whose slots were leased, or taken without asking.
        commits: of reservations.
        waiters: requests that wait for room.
        requests_wanted: as a lease.
        tokens_wanted: as a lease.
        slots: to lease as many of as may be.
    """

    tenant: str
    sequence: int
    limits: Limits
    returned: Sequence[Lot] = ()
    left: Sequence[str] = ()
    charged: Sequence[Lot] = ()
    held: Sequence[int] = ()
    commits: Sequence[Settlement] = ()
    waiters: Sequence[Waiter] = ()
    requests_wanted: int = 0
    tokens_wanted: int = 0
    slots: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a limit, when it is whole again, and what was taken of it within the last minute."""

    remaining: int
    reset_ms: int
    taken: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a waiter: 0 admitted, or which limit refused it, and for how long."""

    code: int
    wait_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer to a question.

    Attributes:
        now_us: Redis' clock.
        bucket: that everything new was charged to.
        waiters: rulings, in order.
        requests_leased: of those wanted.
        tokens_leased: of those wanted.
        slots_leased: of those named.
        first: for each commit, whether it is the first of its reservation.
        requests: left after all of it.
        tokens: left after all of it.
        streams: slots taken.
        streams_left: slots that may be taken, by the tenant's limit and by what is kept for others.
        replicas: that live.
    """

    now_us: int
    bucket: int
    waiters: Sequence[Ruling]
    requests_leased: int
    tokens_leased: int
    slots_leased: int
    first: Sequence[bool]
    requests: Left
    tokens: Left
    streams: int
    streams_left: int
    replicas: int


def slot(boot: str, number: int) -> str:
    """Return the name of the stream that a reservation holds."""
    return f"{boot}.{number}"
