"""What each tenant of a policy may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from tokenflow_api.pacing_policy import PacingPolicySpec, Tenant
from tokenflow_api.quantities import seconds

MAX_RESERVED_PERCENT: Final = 50
"""Of a tenant's tokens per minute: one request never holds back more, however much it may complete."""
KEPT_PERCENT: Final = 20
"""Of all streams: kept from the tenants of the lowest priority."""
LEASE_PERCENT: Final = 1
"""Of a limit: what all replicas together may hold leased and not used."""
GRACE_MS: Final = 60_000
"""A reservation outlasts the longest request that the gateway allows by this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """So many in any minute, and so many of them at once."""

    per_minute: int
    burst: int

    def share(self, replicas: int) -> "Rate":
        """Return one replica's share, which is never nothing."""
        return Rate(per_minute=max(1, self.per_minute // replicas), burst=max(1, self.burst // replicas))

    def lease(self, replicas: int) -> int:
        """Return how much one of ``replicas`` may hold leased and not used."""
        return self.per_minute * LEASE_PERCENT // (100 * replicas)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """A tenant's limits.

    Attributes:
        requests: that it may start.
        tokens: prompt and completion together.
        streams: open at once.
        all_streams: of all tenants together, above which this one waits for others to end.
        max_tokens: that one request may complete.
        reservation_ms: how long a reservation lasts without its commit.
    """

    requests: Rate
    tokens: Rate
    streams: int
    all_streams: int
    max_tokens: int
    reservation_ms: int

    @classmethod
    def of(cls, tenant: Tenant, spec: PacingPolicySpec) -> Self:
        """Return the limits of one tenant of a policy.

        Requests have no burst of their own: a minute's worth may come at once.
        """
        return cls(
            requests=Rate(per_minute=tenant.requests_per_minute, burst=tenant.requests_per_minute),
            tokens=Rate(per_minute=tenant.tokens_per_minute, burst=min(tenant.burst_tokens, tenant.tokens_per_minute)),
            streams=tenant.max_concurrent_streams,
            all_streams=trunk(
                tenant.priority,
                priorities=[other.priority for other in spec.tenants],
                capacity=sum(upstream.max_concurrent_requests for upstream in spec.gateway.upstreams),
            ),
            max_tokens=tenant.max_tokens_per_request,
            reservation_ms=round(seconds(spec.gateway.timeouts.total) * 1000) + GRACE_MS,
        )

    def reserve(self, *, input_tokens: int, max_tokens: int) -> int:
        """Return how many tokens are held back for a request.

        Args:
            input_tokens: of its prompt.
            max_tokens: that it may complete; 0 is as many as the tenant may ask for.
        """
        asked = input_tokens + (max_tokens or self.max_tokens)
        half = self.tokens.per_minute * MAX_RESERVED_PERCENT // 100
        return max(1, min(asked, half, self.tokens.burst))


def trunk(priority: int, *, priorities: Sequence[int], capacity: int) -> int:
    """Return how much of a capacity may be in use before a tenant of this priority waits.

    This is trunk reservation, as telephone networks know it: the highest priority may fill everything, the lowest
    leaves ``KEPT_PERCENT`` free, and those between are spaced evenly by rank.
    """
    ranks = sorted(set(priorities), reverse=True)
    if len(ranks) == 1:
        return capacity
    kept = capacity * KEPT_PERCENT * ranks.index(priority) // (100 * (len(ranks) - 1))
    return max(1, capacity - kept)
