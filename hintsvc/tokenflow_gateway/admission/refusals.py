"""What a refused check of a quota becomes for the reader."""

import math
from typing import Final

from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.quota import AdmitReply, Refusal
from tokenflow_api.quotas.headers import ratelimit_headers
from tokenflow_gateway.errors import (
    GatewayError,
    QuotaUnavailableError,
    RateLimitError,
    ShedError,
    TooManyTokensError,
)

_LIMITS: Final = {
    Refusal.REQUESTS: ("requests_per_minute", "has used up the requests of this minute: wait"),
    Refusal.TOKENS: ("tokens_per_minute", "has used up the tokens of this minute: wait, or ask for fewer"),
    Refusal.STREAMS: ("too_many_streams", "has as many streams open as it may: wait until one ends"),
    Refusal.CAPACITY: (
        "capacity_reserved",
        "has to wait: the upstreams are nearly full, and the rest is kept for tenants of a higher priority",
    ),
}


def limits(reply: AdmitReply) -> dict[str, str]:
    """Return the headers that tell a tenant's limits."""
    return ratelimit_headers(requests=reply.requests, tokens=reply.tokens)


def refused(reply: AdmitReply, tenant: Tenant) -> GatewayError | None:
    """Return the error that a reply amounts to; ``None`` where it refuses nothing."""
    if reply.refusal is None:
        return None
    wait_s = max(1, math.ceil(reply.retry_after_ms / 1000))
    match reply.refusal:
        case Refusal.TOO_LARGE:
            return too_large(tenant)
        case Refusal.SHED:
            return shed(tenant, wait_s=wait_s)
        case Refusal.STORE:
            return QuotaUnavailableError(
                "the quotas are out of reach, and failureMode is Deny: wait, and look at the policy's conditions",
                retry_after_s=wait_s,
            )
    code, words = _LIMITS[reply.refusal]
    return RateLimitError(f"tenant {tenant.name!r} {words}", code=code, retry_after_s=wait_s, limits=limits(reply))


def too_large(tenant: Tenant) -> TooManyTokensError:
    """Return the error of a request that asks for more tokens than its tenant may at once."""
    return TooManyTokensError(
        f"a request of tenant {tenant.name!r} may ask for {tenant.max_tokens_per_request} tokens at most, all"
        " completions together: lower max_tokens",
        param="max_tokens",
    )


def shed(tenant: Tenant, *, wait_s: int) -> ShedError:
    """Return the error of a request that is refused because the GPUs are saturated."""
    return ShedError(
        f"the GPUs are saturated, and others come before tenant {tenant.name!r}: try again later", retry_after_s=wait_s
    )
