"""From a decision to the hints of all tenants."""

from collections.abc import Sequence
from math import prod

from tokenflow_api.hints import Hint, NodeHealth, Snapshot
from tokenflow_api.modes import Mode
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.decide.admission import admittance
from tokenflow_hintsvc.decide.decision import Decision
from tokenflow_hintsvc.decide.hints import path_hint, tenant_hint
from tokenflow_hintsvc.decide.limits import limits
from tokenflow_hintsvc.decide.memory import NodeMemory
from tokenflow_hintsvc.decide.samples import NodeKey
from tokenflow_hintsvc.decide.told import told


def snapshot(decision: Decision, config: RuntimeConfig, *, term: int, version: int, at_unix_ms: int) -> Snapshot:
    """Return the hints of all tenants.

    Args:
        decision: what the round came to.
        config: what the policy allows.
        term: of the leader.
        version: of the snapshot within the term.
        at_unix_ms: now.
    """
    bounds = limits(config.spec)
    ranks = {priority: rank for rank, priority in enumerate(sorted({each.priority for each in config.spec.tenants}))}
    rated = decision.by_tenant()
    hints: list[Hint] = []
    paths: list[Hint] = []
    for tenant in config.spec.tenants:
        allowed = admittance(
            decision.memory.pressure,
            rank=ranks[tenant.priority],
            ranks=len(ranks),
            most_tokens=tenant.max_tokens_per_request,
        )
        own = [path_hint(each, decision, config, allowed=allowed, bounds=bounds) for each in rated.get(tenant.name, [])]
        hints.append(tenant_hint(own, tenant, decision, config, allowed=allowed, bounds=bounds))
        hints.extend(own)
        paths.extend(own)
    gpus = [node.gpus for node in decision.memory.nodes.values() if node.gpus.signals]
    worst_path = min((hint.health for hint in hints), default=1.0)
    worst_gpus = min((health.score for health in gpus), default=1.0)
    return Snapshot(
        term=term,
        version=version,
        generation=config.generation,
        at_unix_ms=at_unix_ms,
        ttl_ms=round(seconds(config.spec.pacing.hint_ttl) * 1000),
        health=worst_path * worst_gpus,
        uncertainty=_mean([*(hint.uncertainty for hint in paths), *(health.uncertainty for health in gpus)]),
        hints=[told(hint) for hint in hints],
        shadow=hints if config.spec.mode is Mode.SHADOW else [],
        nodes=[_node_health(key, node) for key, node in sorted(decision.memory.nodes.items())],
        model=decision.model,
    )


def _node_health(key: NodeKey, node: NodeMemory) -> NodeHealth:
    parts = (node.network, node.gpus) if node.gpus.signals else (node.network,)
    signals = sum(len(part.signals) for part in parts)
    return NodeHealth(
        agent=key.agent,
        node=key.node,
        health=prod(part.score for part in parts),
        # Of a node that has only just been heard of, nothing is known.
        uncertainty=sum(part.uncertainty * len(part.signals) for part in parts) / signals if signals else 1.0,
        terms=[term for part in parts for term in part.moving_terms()],
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 1.0
