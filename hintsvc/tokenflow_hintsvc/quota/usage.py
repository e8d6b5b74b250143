"""What tenants used, counted here until Redis has it."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

from tokenflow_api.pacing_policy import Price
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.store.usage import Field, HourUsage

HOUR_MS: Final = 3_600_000
MAX_HOURS: Final = 16_384
"""Hours of tenants that wait out an outage: two days of as many tenants as a policy may have."""
_MICRO: Final = 1_000_000
"""A price is per million tokens: tokens times price is in millionths of a micro."""


class UsageBook:
    """Counts by tenant and hour.

    Costs are whole micros. What is left below one is carried to the next time, and rounded half up at the end, so
    that no rounding adds up.
    """

    def __init__(self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._now_ms = now_ms
        self._counts: dict[tuple[str, int], Counter[Field]] = {}
        self._carried: defaultdict[tuple[str, Field], int] = defaultdict(int)

    def admitted(self, tenant: str) -> None:
        """Count a request."""
        self._add(tenant, {Field("requests"): 1})
        metrics.USAGE_REQUESTS.labels(tenant).inc()

    def committed(
        self, tenant: str, *, input_tokens: int, output_tokens: int, duration_ms: int, price: Price | None
    ) -> None:
        """Count what a request took, at the price of now."""
        amounts = {
            Field("input_tokens"): input_tokens,
            Field("output_tokens"): output_tokens,
            Field("duration_ms"): duration_ms,
        }
        metrics.USAGE_TOKENS.labels(tenant, "input").inc(input_tokens)
        metrics.USAGE_TOKENS.labels(tenant, "output").inc(output_tokens)
        metrics.USAGE_SECONDS.labels(tenant).inc(duration_ms / 1000)
        if price:
            exact = {
                Field("input_micros", price.currency): input_tokens * price.input_micros_per_million_tokens,
                Field("output_micros", price.currency): output_tokens * price.output_micros_per_million_tokens,
            }
            for field, millionths in exact.items():
                amounts[field], self._carried[tenant, field] = divmod(self._carried[tenant, field] + millionths, _MICRO)
            metrics.USAGE_COST.labels(tenant, price.currency).inc(sum(exact.values()) / _MICRO)
        self._add(tenant, amounts)

    def close(self) -> None:
        """Round what is carried: nothing comes any more."""
        for (tenant, field), millionths in self._carried.items():
            self._add(tenant, {field: (2 * millionths + _MICRO) // (2 * _MICRO)})
        self._carried.clear()

    def take(self) -> list[HourUsage]:
        """Return what was counted since the last call."""
        taken = [
            HourUsage(tenant=tenant, hour=hour, amounts={field: amount for field, amount in counts.items() if amount})
            for (tenant, hour), counts in self._counts.items()
        ]
        self._counts.clear()
        return taken

    def _add(self, tenant: str, amounts: dict[Field, int]) -> None:
        at = (tenant, self._now_ms() // HOUR_MS)
        if at not in self._counts and len(self._counts) >= MAX_HOURS:
            metrics.USAGE_LOST.inc()
            return
        self._counts.setdefault(at, Counter()).update(amounts)
