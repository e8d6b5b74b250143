"""Requests that others come before: they ask again when it makes sense, by priority, one of each tenant at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

from tokenflow_api.pacing_policy import Tenant
from tokenflow_gateway.admission.queue import RequestQueue

HOLD_S: Final = 0.2
"""Pause of a tenant between two requests that ask. Refusals name a longer one, for those who cannot be told sooner; of
all that wait, one alone asks."""


class Turns:
    """Holds back the requests of tenants, and lets the one that comes first ask first.

    One at a time, for what it learns holds for those behind it as well.

    Args:
        queue: where they wait.
    """

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._held: set[str] = set()
        self._asking: set[str] = set()
        self._waiting: Counter[str] = Counter()

    def hold(self, tenant: str) -> None:
        """Let no request of a tenant ask for ``HOLD_S``."""
        if tenant not in self._held:
            self._held.add(tenant)
            asyncio.get_running_loop().call_later(HOLD_S, self._resume, tenant)

    def must_wait(self, tenant: str) -> bool:
        """Whether a new request of a tenant has to wait for its turn, because others do or nobody may ask."""
        return self._waiting[tenant] > 0 or tenant in self._held

    @asynccontextmanager
    async def turn(self, tenant: Tenant, *, since: float) -> AsyncIterator[None]:
        """Wait for a turn, and hold it.

        Args:
            tenant: whose request it is.
            since: when it came.

        Raises:
            QueueFullError: as many wait as may, and this request would go last.
            QueueTimeoutError: the turn did not come within the longest wait.
        """

        def attempt() -> Literal[True] | None:
            if tenant.name in self._asking or tenant.name in self._held:
                return None
            self._asking.add(tenant.name)
            return True

        def end(_: Literal[True] = True) -> None:
            self._asking.discard(tenant.name)
            self._queue.wake()

        self._waiting[tenant.name] += 1
        try:
            await self._queue.take(
                attempt, give_back=end, priority=tenant.priority, lane=f"tenant:{tenant.name}", since=since
            )
            try:
                yield
            finally:
                end()
        finally:
            self._waiting[tenant.name] -= 1

    def _resume(self, tenant: str) -> None:
        self._held.discard(tenant)
        self._queue.wake()
