"""Keeps the tenants' quotas at one replica: admits, commits, and stays in touch with the shared state.

One task carries the questions of all tenants to Redis, many in one round trip, and brings back the answers. When Redis
is out of reach, or has just forgotten what it knew, the policy's failureMode decides.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from tokenflow_api.pacing_policy import FailureMode, Mode, Tenant
from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitReply, CommitRequest, Limit, Refusal
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import QuotaBusyError, StoreError
from tokenflow_hintsvc.quota.breaker import Breaker
from tokenflow_hintsvc.quota.desk import Desk
from tokenflow_hintsvc.quota.limits import Limits
from tokenflow_hintsvc.quota.reservations import KEY_BYTES, Reservation, Signer
from tokenflow_hintsvc.quota.usage import UsageBook
from tokenflow_hintsvc.quota.verdict import Ask, Verdict
from tokenflow_hintsvc.store.quotas import DEADLINE_S, Greeting, Quotas, Settlement

_log = logging.getLogger(__name__)

GREET_S: Final = 0.3
RESTATE_US: Final = 1_000_000
"""A Redis that has forgotten the quotas admits nothing for so long, in which every replica tells what it knows."""
ROUND_S: Final = 0.1
"""Longest time between two looks at the leases."""
WAIT_S: Final = 2 * DEADLINE_S
_STORE_WAIT_MS: Final = 1000
_LAST_ROUNDS: Final = 100
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
        self._quotas = quotas
        self._boot = boot
        self._held_off_ms = held_off_ms
        self._usage = usage
        self._monotonic_us = monotonic_us
        self._offset_us = time.time_ns() // 1000 - monotonic_us()
        self._numbers = itertools.count(1)
        self._signer = Signer(os.urandom(KEY_BYTES))
        self._breaker = Breaker()
        self._greeting: Greeting | None = None
        self._greeted_us = 0
        self._wake = asyncio.Event()
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
        self._wake.set()

    @property
    def reachable(self) -> bool:
        """Whether the shared quota decides."""
        return self._breaker.closed and self._told

    @property
    def _told(self) -> bool:
        """Whether every replica had the time to tell Redis what it may have forgotten."""
        return self._greeting is not None and self._now_us() - int(self._greeting.epoch) >= RESTATE_US

    def read(self, reservation: str) -> Reservation:
        """Return the reservation that somebody carries.

        Raises:
            ReservationError: no replica of this policy made it.
        """
        return self._signer.read(reservation)

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
        if reservation.expires_ms < self._now_us() // 1000:
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
        self._wake.set()
        returned = max(0, settlement.reserved - settlement.used)
        if not self._breaker.closed:
            return CommitReply(committed=True, returned_tokens=returned, local=True)
        done_in_time, _ = await asyncio.wait({counted}, timeout=WAIT_S)
        if not done_in_time:
            return CommitReply(committed=True, returned_tokens=returned, local=True)
        first = counted.result()
        return CommitReply(committed=first, returned_tokens=returned if first else 0)

    async def run(self) -> None:
        """Stay in touch with the shared quotas, until cancelled; then give back what is held."""
        try:
            while True:
                await self.round()
                await self._pause()
        finally:
            await self.leave()

    async def round(self) -> None:
        """Tell and ask Redis once what there is to tell and to ask."""
        self._wake.clear()
        now = self._monotonic_us()
        try:
            if not self._breaker.closed or self._greeting is None or now - self._greeted_us >= GREET_S * 1_000_000:
                await self._greet()
            await self._exchange(self._every_desk())
            self._breaker.succeed()
        except StoreError as error:
            metrics.STORE_ERRORS.labels("quota").inc()
            if self._breaker.fail():
                _log.warning("the quotas are out of reach, failureMode decides", extra={"reason": str(error)})
            for desk in self._every_desk():
                desk.fail(error)
        metrics.QUOTA_REACHABLE.set(self.reachable)

    async def leave(self) -> None:
        """Give back all that is held."""
        for desk in self._every_desk():
            desk.close()
        try:
            for _ in range(_LAST_ROUNDS):
                if all(desk.idle for desk in self._every_desk()):
                    break
                await self._exchange(self._every_desk())
            await self._quotas.leave()
        except StoreError as error:
            _log.warning("leases run out by themselves", extra={"reason": str(error)})

    async def _decide(self, desk: Desk, ask: Ask) -> Verdict:
        if self.reachable:
            verdict = desk.take(ask, now_us=self._now_us())
            if verdict is not None:
                return verdict
            metrics.QUOTA_ASKED.inc()
            try:
                waiting = desk.wait(ask)
                self._wake.set()
                async with asyncio.timeout(WAIT_S):
                    return await waiting
            except (StoreError, QuotaBusyError, TimeoutError) as error:
                _log.debug("a request is decided here", extra={"reason": str(error)})
        metrics.QUOTA_LOCAL.inc()
        match self._failure_mode:
            case FailureMode.LOCAL:
                return desk.locally(ask, now_us=self._now_us(), replicas=self._replicas())
            case FailureMode.ALLOW:
                return desk.unasked(ask, now_us=self._now_us())
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
            local=verdict.local,
        )

    def _sign(self, asked: AdmitRequest, desk: Desk, verdict: Verdict) -> str:
        return self._signer.sign(
            Reservation(
                tenant=asked.tenant,
                boot=self._boot,
                number=verdict.number or next(self._numbers),
                bucket=verdict.bucket,
                tokens=verdict.tokens,
                stream=asked.stream and bool(verdict.bucket),
                expires_ms=self._now_us() // 1000 + desk.limits.reservation_ms,
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

    async def _greet(self) -> None:
        greeting = await self._quotas.greet(key=self._signer.key)
        self._greeted_us = self._monotonic_us()
        self._offset_us = greeting.now_us - self._greeted_us
        self._signer.adopt(greeting.key)
        if self._greeting is not None and self._greeting.epoch != greeting.epoch:
            _log.warning("Redis has forgotten the quotas: they are told to it again")
            for desk in self._every_desk():
                desk.restate()
        self._greeting = greeting

    async def _exchange(self, desks: Iterable[Desk]) -> None:
        if self._greeting is None:
            return
        told, now_us = self._told, self._now_us()
        asking = []
        for desk in desks:
            question = desk.question(now_us=now_us, replicas=self._replicas(), ready=told)
            if question is not None:
                asking.append((desk, question))
        if not asking:
            return
        answers = await self._quotas.exchange([question for _, question in asking], epoch=self._greeting.epoch)
        for (desk, _), answer in zip(asking, answers, strict=True):
            if isinstance(answer, StoreError):
                raise answer
            if answer is None:
                # The next greeting tells of the new epoch.
                self._greeted_us = 0
                self._wake.set()
            else:
                desk.settle(answer)
        self._closing = [desk for desk in self._closing if not desk.idle]

    async def _pause(self) -> None:
        if any(not desk.idle for desk in self._every_desk()) and self._breaker.closed:
            self._wake.set()
        try:
            async with asyncio.timeout(ROUND_S):
                await (self._wake.wait() if self._breaker.closed else asyncio.Event().wait())
        except TimeoutError:
            return

    def _every_desk(self) -> list[Desk]:
        return [*self._desks.values(), *self._closing]

    def _replicas(self) -> int:
        return self._greeting.replicas if self._greeting else self._expected

    def _now_us(self) -> int:
        return self._monotonic_us() + self._offset_us
