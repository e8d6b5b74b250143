"""The tables that show resources: pure, from what was seen to text."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from tokenflow_api.pacing_policy import PacingPolicyStatus, TenantStatus
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.cli.resources import Seen
from tokenflow_operator.cli.table import age, table

_UNKNOWN: Final = "-"


def summary(resources: Iterable[Seen], *, now: datetime) -> str:
    """Return one table per kind, with one row per resource."""
    policies, agents = _by_kind(resources)
    parts = (
        table(
            ("POLICY", "READY", "REASON", "MODE", "HEALTH", "TOKENS/S", "SERVING", "ALERTS", "AGE"),
            [_policy_row(seen, status, now=now) for seen, status in policies],
        ),
        table(
            ("AGENT", "READY", "REASON", "NODES", "UPDATED", "DEGRADED", "ROLLOUT", "AGE"),
            [_agent_row(seen, status, now=now) for seen, status in agents],
        ),
    )
    return "\n".join(part for part in parts if part)


def details(resources: Iterable[Seen]) -> str:
    """Return the tables of tenants, replicas, signals and nodes that cannot be read in full."""
    policies, agents = _by_kind(resources)
    tenants = [(seen.place, *_tenant_cells(tenant)) for seen, status in policies for tenant in status.tenants]
    replicas = [
        (seen.place, replica.name, replica.generation, "leads" if replica.leader else _UNKNOWN)
        for seen, status in policies
        for replica in status.replicas
    ]
    backends = [(seen.place, backend.name, backend.nodes) for seen, status in agents for backend in status.backends]
    nodes = [
        (seen.place, node.name, node.reason, node.message) for seen, status in agents for node in status.degraded_nodes
    ]
    headers = ("POLICY", "TENANT", "STATE", "TOKENS/S", "HEALTH", "STREAMS", "REQUESTS/MIN", "TOKENS/MIN")
    parts = (
        table(headers, tenants),
        table(("POLICY", "REPLICA", "GENERATION", "ROLE"), replicas),
        table(("AGENT", "SIGNAL", "NODES"), backends),
        table(("AGENT", "NODE", "REASON", "MESSAGE"), nodes),
    )
    return "\n".join(part for part in parts if part)


def advice(resources: Iterable[Seen]) -> str:
    """Return what is wrong with each resource that is not well, and what to do."""
    paragraphs = (
        "\n".join([f"{seen.kind} {seen.place}", *(f"  {complaint}" for complaint in seen.complaints)]) + "\n"
        for seen in resources
        if seen.complaints
    )
    return "\n".join(paragraphs)


def _by_kind(
    resources: Iterable[Seen],
) -> tuple[Sequence[tuple[Seen, PacingPolicyStatus]], Sequence[tuple[Seen, TelemetryAgentStatus]]]:
    policies, agents = [], []
    for seen in resources:
        if isinstance(seen.status, PacingPolicyStatus):
            policies.append((seen, seen.status))
        else:
            agents.append((seen, seen.status))
    return policies, agents


def _policy_row(seen: Seen, status: PacingPolicyStatus, *, now: datetime) -> tuple[object, ...]:
    health = _UNKNOWN if status.health_percent is None else f"{status.health_percent}%"
    rate = _UNKNOWN if status.tokens_per_second is None else status.tokens_per_second
    serving = f"{status.serving_replicas}/{seen.spec['hintService']['replicas']}"
    alerts, since = len(status.alerts), age(seen.created_at, now=now)
    return (seen.place, *_ready(seen), seen.spec["mode"], health, rate, serving, alerts, since)


def _tenant_cells(tenant: TenantStatus) -> tuple[object, ...]:
    gets = (tenant.state or _UNKNOWN, tenant.tokens_per_second, f"{tenant.health_percent}%", tenant.active_streams)
    return (tenant.name, *gets, tenant.requests_last_minute, tenant.tokens_last_minute)


def _agent_row(seen: Seen, status: TelemetryAgentStatus, *, now: datetime) -> tuple[object, ...]:
    ready, updated = (f"{nodes}/{status.desired}" for nodes in (status.ready, status.updated))
    stage = status.rollout.stage.value if status.rollout else _UNKNOWN
    return (seen.place, *_ready(seen), ready, updated, status.degraded, stage, age(seen.created_at, now=now))


def _ready(seen: Seen) -> tuple[str, str]:
    return (seen.ready.status.value, seen.ready.reason) if seen.ready else ("Unknown", _UNKNOWN)
