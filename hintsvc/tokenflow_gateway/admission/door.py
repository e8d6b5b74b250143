"""The door: whether and when a request may start."""

import time
from collections.abc import Callable
from functools import partial
from math import ceil

from tokenflow_api.hints import Admission, Hint
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import FailureMode, Tenant
from tokenflow_api.quantities import seconds
from tokenflow_api.quota import AdmitRequest, Refusal
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.tasks import lasting
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.admission.checks import Check, Checks
from tokenflow_gateway.admission.commits import Commits
from tokenflow_gateway.admission.local import LocalQuotas
from tokenflow_gateway.admission.overload import LoopLag, Overload
from tokenflow_gateway.admission.queue import RequestQueue
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.admission.refusals import limits, refused, shed, too_large
from tokenflow_gateway.admission.ticket import MOST_TOKENS, Ledger, Pending, Reserved, Ticket, Wanted
from tokenflow_gateway.admission.turns import Turns
from tokenflow_gateway.errors import GatewayError, OverloadedError, PostponedError


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
        self._checks = Checks(quota, local=self._local, commits=self._commits, clock=clock)
        self._ledger = Ledger(commits=self._commits, local=self._local, clock=clock)
        self._turns = Turns(self.queue)
        self._overload = Overload()
        self._lag = LoopLag(clock)
        self._running = 0
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on."""
        self._spec = spec = config.spec
        priorities = [tenant.priority for tenant in spec.tenants]
        self._local.configure(config)
        self._checks.configure(config)
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
        await lasting(self._commits.run(), self._lag.run())

    async def drain(self, *, within_s: float) -> int:
        """Deliver the commits that wait, while ``run`` goes on; return how many are not after ``within_s``."""
        await self._checks.drain()
        return await self._commits.drain(within_s=within_s)

    async def admit(self, wanted: Wanted, *, ahead: bool = False) -> Ticket:
        """Let a request in, perhaps after a while.

        Args:
            wanted: the request.
            ahead: whether it may be let in while its quota is still asked for, where that is most likely there; its
                ticket then has to be confirmed.

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
            return await self._let_in(wanted, since=since, ahead=ahead)
        except BaseException:
            self._leave()
            raise

    async def _let_in(self, wanted: Wanted, *, since: float, ahead: bool) -> Ticket:
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
        grant, waited = await self._granted(wanted, asked, since=since, ahead=ahead)
        ticket = Ticket(
            wanted,
            grant,
            since=since,
            max_tokens=max_tokens,
            queue=self.queue,
            ledger=self._ledger,
            ended=self._leave,
        )
        if waited:
            ticket.queued_s = self._clock() - queued_from
        return ticket

    async def _granted(
        self, wanted: Wanted, asked: AdmitRequest, *, since: float, ahead: bool
    ) -> tuple[Reserved | Pending, bool]:
        """Return what is reserved for a request, and whether it had to wait for its turn."""
        if not (self._enforces and self._turns.must_wait(wanted.tenant.name)) and not self._held_back(wanted):
            check = self._checks.begin(asked)
            if ahead and (check.ahead or not self._enforces):
                pending = Pending(
                    reserved=lambda at_work: self._confirmed(wanted, check, at_work=at_work),
                    abandon=partial(self._checks.forget, check),
                )
                return pending, False
            reserved = await self._reserved(wanted, check)
            if reserved is not None:
                return reserved, False
        while True:
            async with self._turns.turn(wanted.tenant, since=since):
                if not self._held_back(wanted):
                    reserved = await self._reserved(wanted, self._checks.begin(asked))
                    if reserved is not None:
                        return reserved, True

    def _shorter(self, wanted: Wanted) -> int | None:
        """Return what to lower ``max_tokens`` to while the GPUs are pressed; ``None`` leaves it as it is."""
        hint = self._enforced(wanted)
        if hint is None or hint.max_tokens_hint is None:
            return None
        if wanted.max_tokens is not None and wanted.max_tokens <= hint.max_tokens_hint:
            return None
        return hint.max_tokens_hint

    def _held_back(self, wanted: Wanted) -> bool:
        """Whether the tenant has to wait for a moment, as the hints say."""
        tenant, hint = wanted.tenant, self._enforced(wanted)
        if hint and hint.admission is Admission.SHED:
            self._refuse(tenant, shed(tenant, wait_s=max(1, ceil(hint.retry_after_ms / 1000))))
        if hint is None or hint.admission is not Admission.QUEUE:
            return False
        self._turns.hold(tenant.name)
        return True

    async def _confirmed(self, wanted: Wanted, check: Check, *, at_work: bool) -> Reserved:
        """Return what is reserved for a request that went ahead of its check."""
        try:
            reserved = await self._reserved(wanted, check, at_work=at_work)
        except GatewayError:
            metrics.AHEAD.labels("Refused").inc()
            raise
        metrics.AHEAD.labels("Admitted" if reserved else "Postponed").inc()
        if reserved is None:
            raise PostponedError("others come first: wait for the turn")
        return reserved

    async def _reserved(self, wanted: Wanted, check: Check, *, at_work: bool = False) -> Reserved | None:
        """Reserve room; ``None`` where others come first, and the tenant has to wait for a moment."""
        tenant = wanted.tenant
        reply, hold = await self._checks.ask(check, at_work=at_work)
        if self._enforces and reply.refusal in (Refusal.SHED, Refusal.CAPACITY):
            self._turns.hold(tenant.name)
            return None
        error = refused(reply, tenant)
        if error:
            self._refuse(tenant, error)
        if hold is None:
            # In mode Shadow what is refused runs all the same.
            hold = self._local.note(check.asked, tokens=0)
        metrics.ADMISSIONS.labels(tenant.name, "Admitted").inc()
        until = self._clock() + self._local.reservation_s(tenant.name)
        return Reserved(reservation=reply.reservation, hold=hold, until=until, headers=limits(reply))

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
