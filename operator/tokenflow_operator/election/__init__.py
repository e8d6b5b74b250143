"""One of several replicas leads and writes; the others watch, ready to take over."""

import asyncio
from typing import Protocol

from tokenflow_operator.election.alone import Alone
from tokenflow_operator.election.candidacy import Terms
from tokenflow_operator.election.election import EXIT_LEASE_LOST, Election

__all__ = ["EXIT_LEASE_LOST", "Alone", "Election", "Leadership", "Terms"]


class Leadership(Protocol):
    """What decides whether this replica may write."""

    leading: asyncio.Event

    @property
    def leader(self) -> str:
        """Identity of the replica that leads, as far as this one knows; empty if none does."""
        ...

    def budget_s(self) -> float:
        """Return how many seconds a write that begins now may take.

        Raises:
            NotLeadingError: it must not begin.
        """
        ...

    async def run(self) -> None:
        """Compete and renew until cancelled."""
        ...

    async def release(self) -> None:
        """Write no more, and let another replica lead at once."""
        ...
