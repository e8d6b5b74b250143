"""The leader's newest snapshot, and what time makes of it."""

import time
from collections.abc import Callable
from typing import Final

from tokenflow_api.drift import DRIFT_S, drifted
from tokenflow_api.hints import Hint, Snapshot
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.decide.hints import fallback_hint
from tokenflow_hintsvc.view.packed import PackedSnapshot

TICK_S: Final = 0.1
"""A hint that nobody renews moves in steps of this length: within one its bytes stay the same."""
_LAST_TICK: Final = round(DRIFT_S / TICK_S) + 1


class View:
    """The newest snapshot, held in memory: reading a hint touches neither Redis nor the network."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.packed: PackedSnapshot | None = None
        self._decoded: Snapshot | None = None
        self._received = 0.0
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []

    @property
    def age_s(self) -> float | None:
        """Seconds since the snapshot arrived."""
        return None if self.packed is None else self._clock() - self._received

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot, decoded when it is first asked for: that takes milliseconds where there are many hints."""
        if self._decoded is None and self.packed is not None:
            self._decoded = self.packed.snapshot()
        return self._decoded

    @property
    def tick(self) -> int:
        """How far the hints have drifted: 0 while they may be trusted, then one more in each ``TICK_S``."""
        if self.packed is None:
            return 0
        expired_s = self._clock() - self._received - self.packed.ttl_ms / 1000
        return 0 if expired_s <= 0 else min(_LAST_TICK, 1 + int(expired_s / TICK_S))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each new snapshot."""
        self._listeners.append(listener)

    def accept(self, packed: PackedSnapshot) -> None:
        """Serve a snapshot from now on, unless it is older than what is served."""
        if self.packed and packed.identity <= self.packed.identity:
            return
        known = self.packed.rates if self.packed else {}
        self.packed = packed
        self._decoded = None
        self._received = self._clock()
        metrics.HEALTH.set(packed.health)
        for tenant in known.keys() - packed.rates.keys():
            metrics.TENANT_RATE.remove(tenant)
        for tenant, rate in packed.rates.items():
            metrics.TENANT_RATE.labels(tenant).set(rate)
        for listener in self._listeners:
            listener()

    def hint(self, tenant: str, path: str, config: RuntimeConfig) -> Hint:
        """Return the hint for a path, or for all paths of the tenant where that one is not known."""
        found = self.packed.hint(tenant, path) if self.packed else None
        if found is None or self.packed is None:
            return fallback_hint(tenant, config, reason="NoSnapshot")
        ttl_s = self.packed.ttl_ms / 1000
        return drifted(
            Hint.model_validate_json(found),
            age_s=ttl_s + self.tick * TICK_S,
            ttl_s=ttl_s,
            fallback=float(config.spec.pacing.fallback_tokens_per_second),
        )
