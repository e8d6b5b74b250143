"""Leadership without an election, for the one process that works from outside the cluster."""

import asyncio
import math

from tokenflow_operator import metrics


class Alone:
    """Leads from the start and for ever. Nothing keeps a second process from doing the same.

    Attributes:
        leader: identity of this process.
        leading: set.
    """

    def __init__(self, *, identity: str) -> None:
        self.leader = identity
        self.leading = asyncio.Event()
        self.leading.set()
        metrics.LEADER.set(1)

    def budget_s(self) -> float:
        """Return how many seconds a write that begins now may take: any number."""
        return math.inf

    async def run(self) -> None:
        """Wait until cancelled: there is nothing to renew."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """There is nothing to give back."""
