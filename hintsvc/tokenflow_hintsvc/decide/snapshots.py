"""From all paths of a policy to the hints of its tenants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tokenflow_api.hints import ALL_PATHS, Hint, HintSignals, PathState, Snapshot, Source
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.decide.control import Limits, PathControl, batch_size, limits, step, stream_rate
from tokenflow_hintsvc.decide.samples import AGENT, GATEWAY, PathKey, PathSample

MAX_PATHS = 512
"""Paths that are followed at once; the streams of further ones run by their tenant's hint."""

LEAST_RATE = 0.1
"""Tokens per second that even an exhausted quota leaves a stream: a hint never says zero."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the leader remembers from one round to the next: the state of each path."""

    controls: Mapping[PathKey, PathControl] = field(default_factory=dict)


def follow(decision: Decision, samples: Sequence[PathSample], *, bounds: Limits) -> Decision:
    """Take in the newest window of each path; paths that nobody reports any more are forgotten."""
    return Decision(
        {
            sample.key: step(decision.controls.get(sample.key, PathControl()), sample, bounds)
            for sample in samples[:MAX_PATHS]
        }
    )


def snapshot(
    decision: Decision,
    samples: Sequence[PathSample],
    config: RuntimeConfig,
    *,
    term: int,
    version: int,
    at_unix_ms: int,
    informed: bool,
) -> Snapshot:
    """Return the hints of all tenants.

    Args:
        decision: state of each path, the samples taken in.
        samples: the newest window of each path.
        config: what the policy allows.
        term: of the leader.
        version: of the snapshot within the term.
        at_unix_ms: now.
        informed: whether any telemetry is fresh; without it every hint is the fallback.
    """
    bounds = limits(config.spec.pacing, config.spec.thresholds)
    followed = [sample for sample in samples if sample.key in decision.controls]
    hints: list[Hint] = []
    for tenant in config.spec.tenants:
        own = [sample for sample in followed if sample.key.tenant == tenant.name]
        streams = sum(sample.active_streams for sample in own)
        paths = [
            _path_hint(sample, decision.controls[sample.key], tenant, config, bounds=bounds, streams=streams)
            for sample in own
        ]
        hints.append(_tenant_hint(paths, tenant, config, bounds=bounds, informed=informed))
        hints.extend(paths)
    return Snapshot(
        term=term,
        version=version,
        generation=config.generation,
        at_unix_ms=at_unix_ms,
        ttl_ms=round(seconds(config.spec.pacing.hint_ttl) * 1000),
        health=min((hint.health for hint in hints), default=1.0),
        hints=hints,
    )


def fallback_hint(tenant: str, config: RuntimeConfig, *, reason: str) -> Hint:
    """Return the hint for a tenant of whose paths nothing is known."""
    bounds = limits(config.spec.pacing, config.spec.thresholds)
    rate = float(config.spec.pacing.fallback_tokens_per_second)
    return Hint(
        tenant=tenant,
        tokens_per_second=rate,
        batch_size=batch_size(rate, congested=True, bounds=bounds),
        batch_delay_ms=round(bounds.batch_delay_s * 1000),
        # Unknown is neither well nor ill.
        health=0.5,
        state=PathState.DEGRADED,
        source=Source.FALLBACK,
        mode=config.spec.mode,
        reasons=[reason],
        missing=[AGENT, GATEWAY],
    )


def _path_hint(
    sample: PathSample,
    control: PathControl,
    tenant: Tenant,
    config: RuntimeConfig,
    *,
    bounds: Limits,
    streams: int,
) -> Hint:
    rate = stream_rate(control, streams=sample.active_streams, bounds=bounds)
    share = _quota_share(tenant, streams=streams)
    congested = control.state is PathState.CONGESTED
    return Hint(
        tenant=tenant.name,
        path=sample.key.path,
        tokens_per_second=max(LEAST_RATE, min(rate, share)),
        batch_size=batch_size(rate, congested=congested, bounds=bounds),
        batch_delay_ms=round(bounds.batch_delay_s * 1000) if congested else 0,
        health=control.health,
        state=control.state,
        source=Source.LIVE,
        mode=config.spec.mode,
        reasons=[*control.reasons, *(["Quota"] if share < rate else [])],
        missing=list(sample.missing),
        signals=HintSignals(
            rtt_us=sample.rtt_us,
            rtt_min_us=min(control.baselines.values(), default=None),
            retransmit_ratio=sample.retransmit_ratio,
            delivered_tokens_per_second=sample.delivered_tokens_per_second,
            active_streams=sample.active_streams,
        ),
    )


def _tenant_hint(
    paths: Sequence[Hint], tenant: Tenant, config: RuntimeConfig, *, bounds: Limits, informed: bool
) -> Hint:
    """Return the hint for paths of the tenant that are not followed: as its worst one, or as a clear one."""
    if paths:
        worst = min(paths, key=lambda hint: hint.tokens_per_second)
        streams = sum(hint.signals.active_streams for hint in paths)
        return worst.model_copy(
            update={
                "path": ALL_PATHS,
                "health": min(hint.health for hint in paths),
                "signals": worst.signals.model_copy(update={"active_streams": streams}),
            }
        )
    if not informed:
        return fallback_hint(tenant.name, config, reason="NoTelemetry")
    share = _quota_share(tenant, streams=0)
    return Hint(
        tenant=tenant.name,
        tokens_per_second=min(bounds.most, share),
        batch_size=batch_size(bounds.most, congested=False, bounds=bounds),
        batch_delay_ms=0,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=config.spec.mode,
        reasons=["Quota"] if share < bounds.most else [],
    )


def _quota_share(tenant: Tenant, *, streams: int) -> float:
    """Return the tokens per second that the quota leaves each stream of the tenant."""
    return tenant.tokens_per_minute / 60 / max(1, streams)
