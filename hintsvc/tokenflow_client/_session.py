"""Knows at every moment what streams go by: follows the hints, reads them where they do not come, and tells changes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from tokenflow_api.drift import DRIFT_S
from tokenflow_api.hints import ALL_PATHS, Hint, HintReply, Snapshot
from tokenflow_api.tasks import lasting
from tokenflow_client._breaker import Circuit
from tokenflow_client._errors import HintsUnavailableError
from tokenflow_client._follower import HintFollower
from tokenflow_client._options import Endpoint, Options
from tokenflow_client._rates import MeanRate
from tokenflow_client._sources import Sources
from tokenflow_client._state import OUTAGE_S, Known, Reach, Status, judge

_log = logging.getLogger(__name__)

TICK_S: Final = 0.25
"""Hints come that often; as often it is looked at how they age."""
READ_S: Final = 1.0
"""While the stream of hints says nothing, a hint is read twice within its time, or within this one if that is less."""


class HintSession:
    """What streams go by; ``status`` and ``pace`` may be read from any thread.

    Args:
        endpoint: whose hints, and where.
        options: how to pace.
        on_state: called with each status whose state or circuit differs from the last.
        client: HTTP client to use, which the caller closes; by default one of its own.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: Options,
        *,
        on_state: Callable[[Status], None] | None = None,
        client: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._tenant = endpoint.tenant
        self._options = options
        self._on_state = on_state
        self._clock = clock
        self._follower = HintFollower(
            endpoint.url,
            token=lambda: endpoint.api_key,
            on_snapshot=self._take,
            tls=options.tls,
            clock=clock,
            client=client,
        )
        self._rates = MeanRate(options.mean_of)
        self._known: Known | None = None
        self._reader = self._follower.reader(endpoint.tenant, path=endpoint.path) if endpoint.tenant else None
        self._trouble = ""
        self._heard_at = self._streamed_at = float("-inf")
        self.sources = Sources(clock)
        self.status = self._judge()
        self.pace = self.status.pace

    async def run(self) -> None:
        """Keep the status up to date, for ever."""
        await lasting(self._follower.run(), self._read(), self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._refresh()

    async def _read(self) -> None:
        while True:
            ttl_s = self._known.ttl_s if self._known else READ_S
            await asyncio.sleep(min(READ_S, max(TICK_S, ttl_s)) / 2)
            fresh = self._clock() - self._streamed_at <= ttl_s
            if self._reader is not None and not fresh and self._follower.breaker.state is Circuit.CLOSED:
                await self._learn_by(self._reader.read())

    async def _learn_by(self, reading: Awaitable[HintReply]) -> None:
        try:
            reply = await reading
        except HintsUnavailableError as error:
            self._follower.breaker.failed()
            self._trouble = str(error)
            return
        self._follower.breaker.succeeded()
        self._heard_at = self._clock()
        self._trouble = ""
        self._learn(reply.hint, ttl_s=reply.ttl_ms / 1000)

    def _take(self, snapshot: Snapshot) -> None:
        self._heard_at = self._clock()
        try:
            hint = self._choose(snapshot)
        except HintsUnavailableError as error:
            if str(error) != self._trouble:
                _log.warning("streams go without hints: %s", error)
            self._trouble = str(error)
            return
        self._streamed_at = self._heard_at
        self._trouble = ""
        self._learn(hint, ttl_s=snapshot.ttl_ms / 1000)

    def _choose(self, snapshot: Snapshot) -> Hint:
        tenants = sorted({hint.tenant for hint in snapshot.hints})
        if not self._tenant and len(tenants) > 1:
            raise HintsUnavailableError(f"hints of several tenants are told ({', '.join(tenants)}): write tenant=")
        tenant = self._tenant or "".join(tenants)
        hints = {hint.path: hint for hint in snapshot.hints if hint.tenant == tenant}
        hint = hints.get(self._endpoint.path) or hints.get(ALL_PATHS)
        if hint is None:
            raise HintsUnavailableError(f"no hint of the tenant {tenant!r} is told: look at its name and its key")
        if not self._tenant:
            self._tenant = tenant
            self._reader = self._follower.reader(tenant, path=self._endpoint.path)
        return hint

    def _learn(self, hint: Hint, *, ttl_s: float) -> None:
        now = self._clock()
        if self._known is not None and now - self._known.received_at > self._known.ttl_s + DRIFT_S:
            # What was long ago says nothing of now.
            self._rates.clear()
        self._rates.add(hint.tokens_per_second)
        rate = self._rates.smooth(hint.tokens_per_second)
        self._known = Known(hint=hint, tokens_per_second=rate, ttl_s=ttl_s, received_at=now)
        self._refresh()

    def _refresh(self) -> None:
        before, self.status = self.status, self._judge()
        self.pace = self.status.pace
        if (before.state, before.circuit) == (self.status.state, self.status.circuit):
            return
        told = {"state": self.status.state, "circuit": self.status.circuit, "reason": self.status.reason}
        _log.info("streams go by another state", extra=told)
        if self._on_state is not None:
            try:
                self._on_state(self.status)
            except Exception:  # noqa: BLE001 - the caller's own error must not end the following of hints
                _log.exception("on_state failed")

    def _judge(self) -> Status:
        now = self._clock()
        reach = Reach(
            circuit=self._follower.breaker.state,
            heard=now - self._heard_at <= OUTAGE_S,
            trouble=self._trouble or self._follower.failure,
            silent_s=self.sources.silent_s,
        )
        return judge(self._known, reach, now=now, fallback=self._options.fallback)
