"""Whether a replica may lead, and for how long it can prove that it does. No I/O.

The law: a holder trusts a renewal for ``deadline_s``, counted from before it *asked* for it; the others wait for
``lease_s``, counted from after they *saw* it. Since asking comes before seeing, a holder has stopped at least
``lease_s - deadline_s`` before another one begins, whatever is delayed, lost or paused between them. Each counts by its
own clock, so the clocks need not agree; their rates may differ by the ratio of the two times. An API server that
replaces a Lease only by its version sees to it that what a candidate saw is still so when it takes over.

This is the algorithm of client-go's ``leaderelection`` with two changes: no stamp of another machine is believed, and
proof counts from the question, where client-go counts from the answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tokenflow_operator.election.lease import Record


def since_boot() -> float:
    """Return monotonic seconds that count while the machine is suspended, as ``time.monotonic`` does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The times that all replicas agree on.

    Attributes:
        lease_s: seconds that a record must have stood unchanged before another replica takes over.
        deadline_s: seconds for which a holder trusts a renewal.
        margin_s: a write does not begin with less proof than this.
        renew_s: seconds between renewals.
        retry_s: seconds between looks of those who wait, and between attempts after a failure.
        attempt_s: longest time that one attempt may take.
    """

    lease_s: float = 10.0
    deadline_s: float = 7.0
    margin_s: float = 2.0
    renew_s: float = 2.0
    retry_s: float = 0.5
    attempt_s: float = 2.0


class Candidacy:
    """What one replica knows of the Lease."""

    def __init__(self, *, identity: str, terms: Terms, clock: Callable[[], float] = since_boot) -> None:
        """Know nothing yet.

        Args:
            identity: of this process, never used by another one.
            terms: the times that all replicas agree on.
            clock: monotonic seconds.
        """
        self._identity = identity
        self._terms = terms
        self._clock = clock
        self._seen: Record | None = None
        self._seen_at: float | None = None
        self._proved_at: float | None = None
        self._leads_from: float | None = clock()
        self._superseded = False

    @property
    def seen(self) -> Record | None:
        """The Lease as it was last seen; nothing if there was none."""
        return self._seen

    @property
    def leader(self) -> str:
        """Identity of the replica that held the Lease when it was last seen; empty if none did."""
        return self._seen.holder if self._seen else ""

    @property
    def held(self) -> bool:
        """Whether this replica has taken the Lease, however long ago."""
        return self._proved_at is not None

    @property
    def hold_left_s(self) -> float:
        """Seconds for which no other replica can take the Lease."""
        if self._proved_at is None or self._superseded:
            return 0.0
        return max(0.0, self._proved_at + self._terms.deadline_s - self._clock())

    @property
    def proof_left_s(self) -> float:
        """Seconds for which no other replica can lead; none unless this one does."""
        leads = self._leads_from is not None and self._clock() >= self._leads_from
        return self.hold_left_s if leads else 0.0

    @property
    def lost(self) -> bool:
        """Whether this replica had the Lease, and can no longer prove that it has."""
        return self.held and self.hold_left_s <= 0

    @property
    def may_bid(self) -> bool:
        """Whether the Lease as it was last seen may be taken or kept: it is ours, free, absent or long unchanged."""
        if self._seen_at is None or self.lost:
            return False
        if self.held or self._seen is None or self.leader in {"", self._identity}:
            return True
        return self._clock() - self._seen_at >= max(self._terms.lease_s, self._seen.lasts_s)

    def saw(self, record: Record | None) -> None:
        """Take in what has just been read; nothing where there is no Lease."""
        if self._seen_at is None or record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        if self.held and record is not None and record.holder != self._identity:
            self._superseded = True

    def creating(self) -> None:
        """Take in that the Lease is about to be created.

        One that does not exist may have been deleted under a holder who does not know it yet. So whoever creates it
        keeps it for ``lease_s`` before they lead, unless they lead already.
        """
        if not self.held:
            self._leads_from = None

    def not_created(self) -> None:
        """Take in that somebody else has created it."""
        if not self.held:
            self._leads_from = self._clock()

    def won(self, record: Record, *, asked_at: float) -> None:
        """Take in that this replica's write was accepted.

        Args:
            record: the Lease as written.
            asked_at: by the clock, before the write was sent.
        """
        self._seen, self._seen_at = record, self._clock()
        self._proved_at = asked_at
        if self._leads_from is None:
            self._leads_from = self._clock() + self._terms.lease_s
