"""Requests that others come before: they ask again when it makes sense, by priority, one of each tenant at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from tokenflow_api.pacing_policy import Tenant
from tokenflow_gateway.admission.queue import RequestQueue


class Turns:
    """Holds back the requests of tenants, and lets the one that waits longest ask first.

    One at a time, for what it learns holds for those behind it as well.

    Args:
        queue: where they wait.
        clock: monotonic, in seconds.
    """

    def __init__(self, queue: RequestQueue, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._until: dict[str, float] = {}
        self._asking: set[str] = set()

    def hold(self, tenant: str, wait_s: float) -> None:
        """Let no request of a tenant ask for so long; one that is held back already is so no longer than it was."""
        if not self.held(tenant):
            self._until[tenant] = self._clock() + wait_s
            asyncio.get_running_loop().call_later(wait_s, self._queue.wake)

    def held(self, tenant: str) -> bool:
        """Whether a new request of a tenant has to wait for its turn."""
        return self._clock() < self._until.get(tenant, 0.0)

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
            if tenant.name in self._asking or self.held(tenant.name):
                return None
            self._asking.add(tenant.name)
            return True

        def end(_: Literal[True] = True) -> None:
            self._asking.discard(tenant.name)
            self._queue.wake()

        await self._queue.take(
            attempt, give_back=end, priority=tenant.priority, lane=f"tenant:{tenant.name}", since=since
        )
        try:
            yield
        finally:
            end()
