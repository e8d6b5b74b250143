"""What decides while the hint service is out of reach: the policy's failureMode."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import FailureMode
from tokenflow_api.quota import AdmitReply, AdmitRequest, Limit, Refusal
from tokenflow_api.quotas.limits import Limits
from tokenflow_api.quotas.meter import BUCKET_US
from tokenflow_api.quotas.share import Share
from tokenflow_api.quotas.verdict import Ask, Verdict
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.admission import metrics

_DENIED_WAIT_MS: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """What one request has taken of its tenant's share.

    Attributes:
        tenant: whose.
        bucket: of the share's minute that it was charged to.
        tokens: held back for it.
        stream: whether it holds a stream.
    """

    tenant: str
    bucket: int
    tokens: int
    stream: bool


class LocalQuotas:
    """This replica's share of every tenant's limits.

    What the hint service admits counts as well, so that the share is known when it falls silent: in any minute at
    most a limit divided by the gateway's replicas is admitted here, unless the hint service admitted more.

    Args:
        now_us: a monotonic clock, in microseconds.
    """

    def __init__(self, *, now_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._now_us = now_us
        self._failure_mode = FailureMode.LOCAL
        self._limits: dict[str, Limits] = {}
        self._shares: dict[str, Share] = {}

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on; what was taken stays taken.

        Tenants that are removed are still known: requests of theirs may be under way.
        """
        spec, replicas = config.spec, config.spec.gateway.replicas
        self._failure_mode = spec.failure_mode
        for tenant in spec.tenants:
            limits = self._limits[tenant.name] = Limits.of(tenant, spec)
            if tenant.name in self._shares:
                self._shares[tenant.name].configure(limits, replicas=replicas)
            else:
                self._shares[tenant.name] = Share(limits, replicas=replicas, now_us=self._now_us())

    def reserve(self, asked: AdmitRequest) -> int:
        """Return how many tokens are held back for a request, as the hint service does."""
        return self._limits[asked.tenant].reserve(input_tokens=asked.input_tokens, max_tokens=asked.max_tokens)

    def reservation_s(self, tenant: str) -> float:
        """Return how long a tenant's reservations last without a commit."""
        return self._limits[tenant].reservation_ms / 1000

    def admit(self, asked: AdmitRequest) -> tuple[AdmitReply, Hold | None]:
        """Decide on a request; an admitted one holds what it takes until it is settled."""
        metrics.LOCAL.inc()
        share, ask = self._shares[asked.tenant], Ask(self.reserve(asked), asked.stream)
        now_us = self._now_us()
        bucket = now_us // BUCKET_US
        match self._failure_mode:
            case FailureMode.LOCAL:
                verdict = share.admit(ask, bucket=bucket, now_us=now_us)
            case FailureMode.ALLOW:
                share.charge(ask, bucket=bucket, now_us=now_us)
                verdict = Verdict(bucket=bucket, tokens=ask.tokens, local=True)
            case FailureMode.DENY:
                verdict = Verdict(refusal=Refusal.STORE, wait_ms=_DENIED_WAIT_MS, local=True)
        hold = None
        if verdict.refusal is None:
            hold = Hold(tenant=asked.tenant, bucket=bucket, tokens=verdict.tokens, stream=asked.stream)
        return _reply(share, verdict), hold

    def note(self, asked: AdmitRequest, *, tokens: int) -> Hold:
        """Take what the hint service admitted, with so many tokens reserved."""
        now_us = self._now_us()
        bucket = now_us // BUCKET_US
        self._shares[asked.tenant].charge(Ask(tokens, asked.stream), bucket=bucket, now_us=now_us)
        return Hold(tenant=asked.tenant, bucket=bucket, tokens=tokens, stream=asked.stream)

    def settle(self, hold: Hold, *, used: int) -> None:
        """Give back what a request did not use; what it used beyond its hold is charged."""
        self._shares[hold.tenant].commit(bucket=hold.bucket, returned=hold.tokens - used, stream=hold.stream)


def _reply(share: Share, verdict: Verdict) -> AdmitReply:
    requests, tokens = share.limits()
    requests_left, tokens_left = share.remaining()
    requests_reset_us, tokens_reset_us = share.reset_us()
    return AdmitReply(
        admitted=verdict.refusal is None,
        refusal=verdict.refusal,
        retry_after_ms=verdict.wait_ms,
        requests=Limit(limit=requests, remaining=requests_left, reset_ms=requests_reset_us // 1000),
        tokens=Limit(limit=tokens, remaining=tokens_left, reset_ms=tokens_reset_us // 1000),
        reserved_tokens=verdict.tokens,
        local=True,
    )
