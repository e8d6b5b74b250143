"""The hints of one path, of one tenant, and of those of whom nothing is known."""

from collections.abc import Sequence
from typing import Final

from tokenflow_api.hints import ALL_PATHS, Hint, HintSignals, PathState, Source
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.decide.admission import Admittance
from tokenflow_hintsvc.decide.batch import batch_size, delay_s
from tokenflow_hintsvc.decide.decision import Decision
from tokenflow_hintsvc.decide.fair import quota_share
from tokenflow_hintsvc.decide.limits import Limits, limits
from tokenflow_hintsvc.decide.rates import Rated
from tokenflow_hintsvc.decide.samples import AGENT, GATEWAY
from tokenflow_hintsvc.decide.told import told

_REASONS: Final = {
    "law": "Congestion",
    "share": "Share",
    "model": "Model",
    "slew": "Slew",
    "bounds": "Bounds",
    "quota": "Quota",
}
"""What the steps to a rate are called where they changed it."""


def fallback_hint(tenant: str, config: RuntimeConfig, *, reason: str) -> Hint:
    """Return what is told of a tenant of whose paths nothing is known."""
    return told(_fallback(tenant, config, reason=reason))


def _fallback(tenant: str, config: RuntimeConfig, *, reason: str) -> Hint:
    bounds = limits(config.spec)
    rate = float(config.spec.pacing.fallback_tokens_per_second)
    return Hint(
        tenant=tenant,
        tokens_per_second=rate,
        batch_size=batch_size(rate, delay_s=bounds.batch_delay_s, limits=bounds),
        batch_delay_ms=round(bounds.batch_delay_s * 1000),
        # Unknown is neither well nor ill.
        health=0.5,
        uncertainty=1.0,
        state=PathState.DEGRADED,
        source=Source.FALLBACK,
        mode=config.spec.mode,
        reasons=[reason],
        missing=[AGENT, GATEWAY],
    )


def path_hint(rated: Rated, decision: Decision, config: RuntimeConfig, *, allowed: Admittance, bounds: Limits) -> Hint:
    """Return the computed hint of a path.

    Args:
        rated: its rate, and how it came about.
        decision: what the round came to.
        config: what the policy allows.
        allowed: what new requests of its tenant meet.
        bounds: the policy's limits.
    """
    sample, control = rated.sample, rated.control
    health = decision.memory.paths[sample.key].health
    delay = delay_s(control.batching, bounds)
    return Hint(
        tenant=sample.key.tenant,
        path=sample.key.path,
        tokens_per_second=rated.tokens_per_second,
        batch_size=batch_size(rated.tokens_per_second, delay_s=delay, limits=bounds),
        batch_delay_ms=round(delay * 1000),
        health=health.score,
        uncertainty=health.uncertainty,
        terms=health.moving_terms(),
        state=control.gate.state,
        source=Source.LIVE,
        mode=config.spec.mode,
        reasons=[*health.reasons, *(_REASONS[name] for name in rated.acted)],
        missing=list(sample.missing),
        signals=HintSignals(
            rtt_us=sample.rtt_us,
            rtt_min_us=control.baseline.least_us,
            retransmit_ratio=sample.retransmit_ratio,
            backlog_ratio=sample.backlog_ratio,
            http_p99_us=sample.http_p99_us,
            http_error_ratio=sample.http_error_ratio,
            gpu_saturation=decision.memory.pressure.saturation,
            delivered_tokens_per_second=sample.delivered_tokens_per_second,
            active_streams=sample.active_streams,
        ),
        admission=allowed.admission,
        retry_after_ms=allowed.retry_after_ms,
        max_tokens_hint=allowed.max_tokens_hint,
        model=rated.model,
    )


def tenant_hint(
    paths: Sequence[Hint],
    tenant: Tenant,
    decision: Decision,
    config: RuntimeConfig,
    *,
    allowed: Admittance,
    bounds: Limits,
) -> Hint:
    """Return the hint for paths of the tenant that are not followed: as its worst ones, or as a clear one."""
    if paths:
        worst = min(paths, key=lambda hint: hint.tokens_per_second)
        sickest = min(paths, key=lambda hint: hint.health)
        streams = sum(hint.signals.active_streams for hint in paths)
        return worst.model_copy(
            update={
                "path": ALL_PATHS,
                "health": sickest.health,
                "uncertainty": sickest.uncertainty,
                "terms": sickest.terms,
                "signals": worst.signals.model_copy(update={"active_streams": streams}),
            }
        )
    if config.spec.mode is not Mode.OFF and not decision.informed:
        return _fallback(tenant.name, config, reason="NoTelemetry")
    rate = min(bounds.most, quota_share(tenant, streams=0))
    return Hint(
        tenant=tenant.name,
        tokens_per_second=rate,
        batch_size=1,
        batch_delay_ms=0,
        health=1.0,
        uncertainty=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=config.spec.mode,
        reasons=["Quota"] if rate < bounds.most else [],
        signals=HintSignals(gpu_saturation=decision.memory.pressure.saturation),
        admission=allowed.admission,
        retry_after_ms=allowed.retry_after_ms,
        max_tokens_hint=allowed.max_tokens_hint,
    )
