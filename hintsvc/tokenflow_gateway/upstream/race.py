"""Which upstreams one request asks, one after the other or two at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tokenflow_gateway.errors import ModelNotFoundError, NoUpstreamError
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.fleet import Fleet
from tokenflow_gateway.upstream.lease import Lease
from tokenflow_gateway.upstream.trial import Trial, Wish


class Race:
    """The trials of one request.

    Args:
        fleet: where further leases come from.
        client: to send with.
        outgoing: the request.
        wish: what it asks for.
        confirm: called as soon as an upstream was sent the request.

    Attributes:
        trials: so far.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: UpstreamClient,
        outgoing: Outgoing,
        wish: Wish,
        *,
        confirm: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.trials: list[Trial] = []
        self._fleet = fleet
        self._client = client
        self._outgoing = outgoing
        self._wish = wish
        self._confirm = confirm
        self._until = time.monotonic() + wish.first_token_s

    async def run(self, lease: Lease) -> Trial:
        """Ask until an answer will do, or nobody else can be asked; return the last trial."""
        trial = await self._ask(lease)
        for _ in range(self._wish.retries):
            other = self._another() if trial.may_be_repeated else None
            if other is None:
                break
            metrics.RETRIES.labels(trial.lease.upstream.name).inc()
            self.close()
            trial = await self._ask(other)
        return trial

    def close(self) -> None:
        """End all trials."""
        for trial in self.trials:
            trial.close()

    async def _ask(self, lease: Lease) -> Trial:
        first = self._trial(lease)
        if self._wish.hedge_after_s is None:
            await self._run(first)
            return first
        running = {asyncio.create_task(self._run(first)): first}
        try:
            return await self._hedge(first, running, after_s=self._wish.hedge_after_s)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _hedge(self, first: Trial, running: dict[asyncio.Task[None], Trial], *, after_s: float) -> Trial:
        """Ask a second upstream once the first has been silent for so long (Dean and Barroso, 2013)."""
        done, pending = await asyncio.wait(running, timeout=after_s)
        lease = self._another() if pending else None
        if lease is None:
            await next(iter(running))
            return first
        second = self._trial(lease)
        running[asyncio.create_task(self._run(second))] = second
        pending = set(running)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
                if running[task].will_do:
                    return self._won(running[task], of=(first, second))
        metrics.HEDGES.labels("None").inc()
        return first

    def _won(self, winner: Trial, *, of: tuple[Trial, Trial]) -> Trial:
        first, second = of
        metrics.HEDGES.labels("First" if winner is first else "Second").inc()
        (second if winner is first else first).close()
        return winner

    async def _run(self, trial: Trial) -> None:
        await trial.run(
            self._client,
            self._outgoing,
            connect_s=self._wish.connect_s,
            until=self._until,
            confirm=self._confirm,
        )

    def _trial(self, lease: Lease) -> Trial:
        trial = Trial(lease)
        self.trials.append(trial)
        return trial

    def _another(self) -> Lease | None:
        """Return leave to ask an upstream that was not asked yet, if there is one and the budget bears it."""
        asked = {trial.lease.upstream.name for trial in self.trials}
        try:
            lease = self._fleet.take(self._wish.model, prefix=self._wish.prefix, exclude=asked)
        except (ModelNotFoundError, NoUpstreamError):
            return None
        if lease is not None and not self._fleet.budget.withdraw():
            metrics.RETRIES_REFUSED.inc()
            lease.release()
            return None
        return lease
