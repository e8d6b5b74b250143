"""The door: whether and when a request may start."""

import asyncio
import time
from collections.abc import Callable
from math import ceil

from tokenflow_api.hints import Admission, Hint
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import FailureMode, Tenant
from tokenflow_api.quantities import seconds
from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitRequest, Refusal
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.admission.commits import Commits
from tokenflow_gateway.admission.local import Hold, LocalQuotas
from tokenflow_gateway.admission.overload import LoopLag, Overload
from tokenflow_gateway.admission.queue import RequestQueue
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.admission.refusals import limits, refused, shed, too_large
from tokenflow_gateway.admission.ticket import MOST_TOKENS, Ledger, Reserved, Ticket, Wanted
from tokenflow_gateway.admission.turns import Turns
from tokenflow_gateway.errors import GatewayError, OverloadedError, QuotaUnavailableError


class Door:
    """Lets requests in: as many as this gateway bears, as the hint service says, and as the tenants' quotas leave.

    Args:
        quota: the hint service's side.
        config: at the start; ``configure`` takes in later ones.
        clock: monotonic, in seconds.

    Attributes:
        queue: where requests wait; wake it when an upstream has room.
    """

    def __init__(
        self, quota: QuotaClient, *, config: RuntimeConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.queue = RequestQueue(clock=clock)
        self._quota = quota
        self._clock = clock
        self._local = LocalQuotas(now_us=lambda: round(clock() * 1_000_000))
        self._commits = Commits(quota, clock=clock)
        self._ledger = Ledger(commits=self._commits, local=self._local, clock=clock)
        self._turns = Turns(self.queue)
        self._overload = Overload()
        self._lag = LoopLag(clock)
        self._running = 0
        self._orphans: set[asyncio.Task[AdmitReply]] = set()
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on."""
        self._spec = spec = config.spec
        priorities = [tenant.priority for tenant in spec.tenants]
        self._local.configure(config)
        self._overload.configure(max_streams=spec.gateway.max_streams, priorities=priorities)
        self.queue.configure(
            max_requests=spec.gateway.queue.max_requests,
            max_wait_s=seconds(spec.gateway.queue.max_wait),
            priorities=priorities,
        )

    @property
    def running(self) -> int:
        """How many requests are under way or wait here."""
        return self._running

    @property
    def quotas(self) -> str:
        """Who decides on quotas at present: ``Shared``, or the policy's failureMode."""
        return "Shared" if self._quota.reachable else self._spec.failure_mode

    def quota_rate(self, tenant: Tenant, *, open_streams: int) -> float:
        """Return the tokens per second that a tenant's quota leaves for one of its streams here.

        While the hint service is away and failureMode is ``Local``, it is this replica's share of the quota.
        """
        alone = not self._quota.reachable and self._spec.failure_mode is FailureMode.LOCAL
        replicas = self._spec.gateway.replicas if alone else 1
        per_second = tenant.tokens_per_minute / 60 / replicas / max(1, open_streams)
        return max(float(self._spec.pacing.min_tokens_per_second), per_second)

    async def run(self) -> None:
        """Deliver commits and watch the event loop, for ever."""
        tasks = [asyncio.create_task(self._commits.run()), asyncio.create_task(self._lag.run())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, *, within_s: float) -> int:
        """Deliver the commits that wait, while ``run`` goes on; return how many are not after ``within_s``."""
        await asyncio.gather(*self._orphans, return_exceptions=True)
        return await self._commits.drain(within_s=within_s)

    async def admit(self, wanted: Wanted) -> Ticket:
        """Let a request in, perhaps after a while.

        Raises:
            OverloadedError: this gateway bears no more.
            TooManyTokensError: the request asks for more tokens than it may.
            ShedError: the GPUs are saturated.
            RateLimitError: the tenant's quota, or what is kept for others, leaves no room.
            QueueFullError: as many wait as may, and this request would go last.
            QueueTimeoutError: there was no room within the longest wait.
            QuotaUnavailableError: the quotas are out of reach, and failureMode is ``Deny``.
        """
        since = self._clock()
        tenant = wanted.tenant
        reason = self._overload.refuses(tenant.priority, streams=self._running, lag_s=self._lag.lag_s)
        if reason:
            self._refuse(tenant, OverloadedError(f"the gateway is overloaded: {reason}: try again later"))
        self._running += 1
        try:
            return await self._let_in(wanted, since=since)
        except BaseException:
            self._leave()
            raise

    async def _let_in(self, wanted: Wanted, *, since: float) -> Ticket:
        tenant = wanted.tenant
        if (wanted.max_tokens or 0) * wanted.completions > tenant.max_tokens_per_request:
            self._refuse(tenant, too_large(tenant))
        max_tokens = self._shorter(wanted)
        most = (max_tokens or wanted.max_tokens or 0) * wanted.completions
        asked = AdmitRequest(
            tenant=tenant.name,
            max_tokens=min(tenant.max_tokens_per_request, most),
            input_tokens=min(MOST_TOKENS, wanted.input_tokens),
            stream=wanted.stream,
        )
        queued_from = self._clock()
        waits = self._enforces and self._turns.must_wait(tenant.name)
        found = None if waits else await self._reserve(wanted, asked)
        waited = found is None
        while found is None:
            async with self._turns.turn(tenant, since=since):
                found = await self._reserve(wanted, asked)
        reply, reserved = found
        metrics.ADMISSIONS.labels(tenant.name, "Admitted").inc()
        ticket = Ticket(
            wanted,
            reserved,
            since=since,
            max_tokens=max_tokens,
            headers=limits(reply),
            queue=self.queue,
            ledger=self._ledger,
            ended=self._leave,
        )
        if waited:
            ticket.queued_s = self._clock() - queued_from
        return ticket

    def _shorter(self, wanted: Wanted) -> int | None:
        """Return what to lower ``max_tokens`` to while the GPUs are pressed; ``None`` leaves it as it is."""
        hint = self._enforced(wanted)
        if hint is None or hint.max_tokens_hint is None:
            return None
        if wanted.max_tokens is not None and wanted.max_tokens <= hint.max_tokens_hint:
            return None
        return hint.max_tokens_hint

    async def _reserve(self, wanted: Wanted, asked: AdmitRequest) -> tuple[AdmitReply, Reserved] | None:
        """Reserve room; ``None`` where others come first, and the tenant has to wait for a moment."""
        tenant = wanted.tenant
        hint = self._enforced(wanted)
        if hint and hint.admission is Admission.SHED:
            self._refuse(tenant, shed(tenant, wait_s=max(1, ceil(hint.retry_after_ms / 1000))))
        if hint and hint.admission is Admission.QUEUE:
            self._turns.hold(tenant.name)
            return None
        reply, hold = await self._ask(asked)
        if self._enforces and reply.refusal in (Refusal.SHED, Refusal.CAPACITY):
            self._turns.hold(tenant.name)
            return None
        error = refused(reply, tenant)
        if error:
            self._refuse(tenant, error)
        if hold is None:
            # In mode Shadow what is refused runs all the same.
            hold = self._local.note(asked, tokens=0)
        until = self._clock() + self._local.reservation_s(tenant.name)
        return reply, Reserved(reservation=reply.reservation, hold=hold, until=until)

    async def _ask(self, asked: AdmitRequest) -> tuple[AdmitReply, Hold | None]:
        asking = asyncio.create_task(self._quota.admit(asked))
        try:
            reply = await asyncio.shield(asking)
        except QuotaUnavailableError:
            return self._local.admit(asked)
        except asyncio.CancelledError:
            self._orphans.add(asking)
            asking.add_done_callback(self._abandon)
            raise
        return reply, self._local.note(asked, tokens=reply.reserved_tokens) if reply.admitted else None

    def _abandon(self, asking: asyncio.Task[AdmitReply]) -> None:
        """Give back what was reserved for a reader who has left."""
        self._orphans.discard(asking)
        if not asking.cancelled() and asking.exception() is None and asking.result().reservation:
            reply = asking.result()
            self._commits.add(CommitRequest(reservation=reply.reservation), life_s=60.0)

    def _enforced(self, wanted: Wanted) -> Hint | None:
        return wanted.hint() if self._enforces else None

    @property
    def _enforces(self) -> bool:
        return self._spec.mode is Mode.ENFORCE

    def _refuse(self, tenant: Tenant, error: GatewayError) -> None:
        """Refuse a request; in mode Shadow only tell that it would have been, and in mode Off not even that."""
        if self._spec.mode is not Mode.OFF:
            metrics.ADMISSIONS.labels(tenant.name, error.code if self._enforces else f"Shadow:{error.code}").inc()
        if self._enforces:
            raise error

    def _leave(self) -> None:
        self._running -= 1
