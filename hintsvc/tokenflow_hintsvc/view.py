"""The hints as this replica serves them: the leader's last snapshot, and what time makes of it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tokenflow_api.drift import drifted
from tokenflow_api.hints import ALL_PATHS, Hint, Snapshot
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.decide.snapshots import fallback_hint

MAX_SUBSCRIBERS: Final = 10_000


class Subscription:
    """One open stream. It holds the newest snapshot only: a slow reader misses some, and never lags."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._config: RuntimeConfig | None = None
        self._ready = asyncio.Event()

    def offer_snapshot(self, snapshot: Snapshot) -> None:
        """Replace what was not taken yet."""
        if self._snapshot is not None:
            metrics.OVERWRITTEN.inc()
        self._snapshot = snapshot
        self._ready.set()

    def offer_config(self, config: RuntimeConfig) -> None:
        """Replace what was not taken yet."""
        self._config = config
        self._ready.set()

    async def take(self, *, timeout_s: float) -> tuple[RuntimeConfig | None, Snapshot | None]:
        """Return what is new; both ``None`` when nothing was within ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return None, None
        taken = self._config, self._snapshot
        self._config = self._snapshot = None
        self._ready.clear()
        return taken


class View:
    """The newest snapshot, held in memory: reading a hint touches neither Redis nor the network."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.snapshot: Snapshot | None = None
        self._received = 0.0
        self._clock = clock
        self._hints: dict[tuple[str, str], Hint] = {}
        self._subscriptions: set[Subscription] = set()

    @property
    def age_s(self) -> float | None:
        """Seconds since the snapshot arrived."""
        return None if self.snapshot is None else self._clock() - self._received

    def accept(self, snapshot: Snapshot) -> None:
        """Serve ``snapshot`` from now on, unless it is older than what is served."""
        known = self.snapshot
        if known and (snapshot.term, snapshot.version) <= (known.term, known.version):
            return
        self.snapshot = snapshot
        self._received = self._clock()
        self._hints = {(hint.tenant, hint.path): hint for hint in snapshot.hints}
        metrics.HEALTH.set(snapshot.health)
        for hint in snapshot.hints:
            if hint.path == ALL_PATHS:
                metrics.TENANT_RATE.labels(hint.tenant).set(hint.tokens_per_second)
        for subscription in self._subscriptions:
            subscription.offer_snapshot(snapshot)

    def announce(self, config: RuntimeConfig) -> None:
        """Hand a new config to all subscribers."""
        for subscription in self._subscriptions:
            subscription.offer_config(config)

    def hint(self, tenant: str, path: str, config: RuntimeConfig) -> Hint:
        """Return the hint for a path, or for all paths of the tenant where that one is not known."""
        found = self._hints.get((tenant, path)) or self._hints.get((tenant, ALL_PATHS))
        if found is None or self.snapshot is None:
            return fallback_hint(tenant, config, reason="NoSnapshot")
        return drifted(
            found,
            age_s=self._clock() - self._received,
            ttl_s=self.snapshot.ttl_ms / 1000,
            fallback=float(config.spec.pacing.fallback_tokens_per_second),
        )

    def subscribe(self) -> Subscription | None:
        """Open a stream; ``None`` when there are too many."""
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            return None
        subscription = Subscription()
        if self.snapshot:
            subscription.offer_snapshot(self.snapshot)
        self._subscriptions.add(subscription)
        metrics.SUBSCRIBERS.set(len(self._subscriptions))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a stream."""
        self._subscriptions.discard(subscription)
        metrics.SUBSCRIBERS.set(len(self._subscriptions))
