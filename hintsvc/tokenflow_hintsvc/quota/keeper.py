"""Keeps the tenants' quotas at one replica: who is admitted, and what was used in the end.

When Redis is out of reach, or has just forgotten what it knew, the policy's failureMode decides.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import FailureMode, Tenant
from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitReply, CommitRequest, Limit, Refusal
from tokenflow_api.quotas.limits import Limits
from tokenflow_api.quotas.verdict import Ask, Verdict
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import QuotaBusyError, StoreError
from tokenflow_hintsvc.quota.desk import Desk
from tokenflow_hintsvc.quota.exchange import Settlement
from tokenflow_hintsvc.quota.link import Link
from tokenflow_hintsvc.quota.reservations import Reservation
from tokenflow_hintsvc.quota.usage import UsageBook
from tokenflow_hintsvc.store.quotas import Quotas

_log = logging.getLogger(__name__)

WAIT_S: Final = 1.0
"""Longest wait of a request; one for a Redis that is silent ends when the breaker opens, after 150 ms."""
_STORE_WAIT_MS: Final = 1000
_OF_TENANTS: Final = (
    metrics.QUOTA_CHECKS,
    metrics.USAGE_REQUESTS,
    metrics.USAGE_TOKENS,
    metrics.USAGE_SECONDS,
    metrics.USAGE_COST,
)


class Keeper:
    """Admits and commits the requests of all tenants of a policy.

    Args:
        quotas: the shared side.
        boot: this start of the replica.
        config: the config at the start; ``configure`` takes in later ones.
        held_off_ms: tells for how long the leader's hints hold off a tenant; 0 where they do not.
        usage: counts what is used.
        monotonic_us: a clock that never goes back.

    Attributes:
        link: to the shared side; it must run.
    """

    def __init__(
        self,
        quotas: Quotas,
        *,
        boot: bytes,
        config: RuntimeConfig,
        held_off_ms: Callable[[str], int],
        usage: UsageBook,
        monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self.link = Link(quotas, desks=self._every_desk, monotonic_us=monotonic_us)
        self._boot = boot
        self._held_off_ms = held_off_ms
        self._usage = usage
        self._numbers = itertools.count(1)
        self._desks: dict[str, Desk] = {}
        self._closing: list[Desk] = []
        self._tenants: dict[str, Tenant] = {}
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on; what was used of a limit stays used."""
        spec = config.spec
        self._mode, self._failure_mode = spec.mode, spec.failure_mode
        self._tenants = {tenant.name: tenant for tenant in spec.tenants}
        self._expected = spec.hint_service.replicas
        for name in self._desks.keys() - self._tenants.keys():
            desk = self._desks.pop(name)
            desk.close()
            self._closing.append(desk)
            for metric in _OF_TENANTS:
                metric.remove_by_labels({"tenant": name})
        for name, tenant in self._tenants.items():
            limits = Limits.of(tenant, spec)
            if name in self._desks:
                self._desks[name].configure(limits)
            else:
                self._desks[name] = Desk(name, boot=self._boot.hex(), limits=limits, next_number=self._numbers.__next__)
        self.link.wake()

    @property
    def desks(self) -> Mapping[str, Desk]:
        """What is known of each tenant of the policy."""
        return self._desks

    def read(self, reservation: str) -> Reservation:
        """Return the reservation that somebody carries.

        Raises:
            ReservationError: no replica of this policy made it.
        """
        return self.link.signer.read(reservation)

    async def admit(self, asked: AdmitRequest) -> AdmitReply:
        """Decide on one request of a tenant that there is."""
        desk = self._desks[asked.tenant]
        tokens = desk.limits.reserve(input_tokens=asked.input_tokens, max_tokens=asked.max_tokens)
        if self._mode is Mode.OFF:
            verdict = Verdict()
        elif asked.max_tokens > desk.limits.max_tokens:
            verdict = Verdict(refusal=Refusal.TOO_LARGE)
        elif held_off := self._held_off_ms(asked.tenant):
            verdict = Verdict(refusal=Refusal.SHED, wait_ms=held_off)
        else:
            verdict = await self._decide(desk, Ask(tokens, asked.stream))
        return self._reply(asked, desk, verdict)

    async def commit(self, reservation: Reservation, done: CommitRequest) -> CommitReply:
        """Count what a request took, once."""
        desk, tenant = self._desks.get(reservation.tenant), self._tenants.get(reservation.tenant)
        if desk is None or tenant is None:
            metrics.QUOTA_COMMITS.labels("unknown_tenant").inc()
            return CommitReply(committed=False)
        if reservation.expires_ms < self.link.now_us() // 1000:
            metrics.QUOTA_COMMITS.labels("expired").inc()
            return CommitReply(committed=False)
        settlement = Settlement(
            boot=reservation.boot.hex(),
            number=reservation.number,
            bucket=reservation.bucket,
            reserved=reservation.tokens,
            used=done.input_tokens + done.output_tokens if reservation.bucket else 0,
        )
        counted = desk.commit(settlement, stream=reservation.stream)
        counted.add_done_callback(lambda first: self._count(tenant, done, first=first.result()))
        self.link.wake()
        returned = max(0, settlement.reserved - settlement.used)
        if not self.link.open:
            return CommitReply(committed=True, returned_tokens=returned, local=True)
        done_in_time, _ = await asyncio.wait({counted}, timeout=WAIT_S)
        if not done_in_time:
            return CommitReply(committed=True, returned_tokens=returned, local=True)
        first = counted.result()
        return CommitReply(committed=first, returned_tokens=returned if first else 0)

    async def _decide(self, desk: Desk, ask: Ask) -> Verdict:
        if self.link.decides:
            verdict = desk.take(ask, now_us=self.link.now_us())
            if verdict is not None:
                return verdict
            metrics.QUOTA_ASKED.inc()
            try:
                waiting = desk.wait(ask)
                self.link.wake()
                async with asyncio.timeout(WAIT_S):
                    return await waiting
            except (StoreError, QuotaBusyError, TimeoutError) as error:
                _log.debug("a request is decided here", extra={"reason": str(error)})
        metrics.QUOTA_LOCAL.inc()
        match self._failure_mode:
            case FailureMode.LOCAL:
                return desk.locally(ask, now_us=self.link.now_us(), replicas=self.link.replicas or self._expected)
            case FailureMode.ALLOW:
                return desk.unasked(ask, now_us=self.link.now_us())
            case FailureMode.DENY:
                return Verdict(refusal=Refusal.STORE, wait_ms=_STORE_WAIT_MS, local=True)

    def _reply(self, asked: AdmitRequest, desk: Desk, verdict: Verdict) -> AdmitReply:
        refusal = verdict.refusal
        shadow = self._mode is Mode.SHADOW and refusal is not None
        outcome = refusal or "Admitted"
        metrics.QUOTA_CHECKS.labels(asked.tenant, f"Shadow:{outcome}" if shadow else outcome).inc()
        admitted = refusal is None or shadow
        if admitted:
            self._usage.admitted(asked.tenant)
        requests, tokens = desk.remaining()
        known = desk.known
        return AdmitReply(
            admitted=admitted,
            reservation=self._sign(asked, desk, verdict) if admitted else "",
            refusal=refusal,
            retry_after_ms=verdict.wait_ms,
            requests=Limit(
                limit=desk.limits.requests.per_minute,
                remaining=requests,
                reset_ms=known.requests.reset_ms if known else 0,
            ),
            tokens=Limit(
                limit=desk.limits.tokens.per_minute,
                remaining=tokens,
                reset_ms=known.tokens.reset_ms if known else 0,
            ),
            reserved_tokens=verdict.tokens,
            streams_left=desk.streams_left(),
            local=verdict.local,
        )

    def _sign(self, asked: AdmitRequest, desk: Desk, verdict: Verdict) -> str:
        return self.link.signer.sign(
            Reservation(
                tenant=asked.tenant,
                boot=self._boot,
                number=verdict.number or next(self._numbers),
                bucket=verdict.bucket,
                tokens=verdict.tokens,
                stream=asked.stream and bool(verdict.bucket),
                expires_ms=self.link.now_us() // 1000 + desk.limits.reservation_ms,
            )
        )

    def _count(self, tenant: Tenant, done: CommitRequest, *, first: bool) -> None:
        metrics.QUOTA_COMMITS.labels("counted" if first else "repeated").inc()
        if first:
            self._usage.committed(
                tenant.name,
                input_tokens=done.input_tokens,
                output_tokens=done.output_tokens,
                duration_ms=done.duration_ms,
                price=tenant.price,
            )

    def _every_desk(self) -> list[Desk]:
        self._closing = [desk for desk in self._closing if not desk.idle]
        return [*self._desks.values(), *self._closing]
