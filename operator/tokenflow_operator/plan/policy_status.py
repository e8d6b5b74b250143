"""What is said of a PacingPolicy."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tokenflow_api.cluster import ClusterView, TenantUsage
from tokenflow_api.hints import ALL_PATHS, Hint, ModelReport
from tokenflow_api.pacing_policy import ModelStatus, ReplicaStatus, TenantStatus
from tokenflow_api.quantities import seconds
from tokenflow_operator.kube.kinds import DEPLOYMENT, PERSISTENT_VOLUME_CLAIM
from tokenflow_operator.kube.objects import ObjectRef
from tokenflow_operator.plan import hintsvc, names
from tokenflow_operator.plan.address import hint_service_address
from tokenflow_operator.plan.autoscaling import autoscaling_problems, hintsvc_replicas
from tokenflow_operator.plan.certificate import certificate_problems, untrusted
from tokenflow_operator.plan.claims import claim_problems
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.pods import pod_problems, ready_pods
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.plan.runtime import named_agents
from tokenflow_operator.plan.storage import storage_problems
from tokenflow_operator.plan.workloads import available_for_s, ready_replicas, refused_pods
from tokenflow_operator.snapshot import Agent, PolicySnapshot, Silence

_ROUTED_S: Final = 15.0
"""Seconds within which the nodes have learned where a Service's new pods are."""
_NAMED: Final = 3
_MOST_WORDS: Final = 1024
_LEAST_SILENCE_S: Final = 10.0
"""An agent's own restart must not read as lost telemetry."""


def policy_problems(snapshot: PolicySnapshot, *, now: datetime) -> Iterator[Problem]:
    """Yield what is not as the policy asks for, causes before their effects. ``now`` is the time of day."""
    yield from _missing_agents(snapshot)
    yield from claim_problems(snapshot.policy, snapshot.policies)
    yield from _unchangeable(snapshot)
    yield from autoscaling_problems(names.hintsvc(snapshot.policy.key.name), snapshot.cluster, now=now)
    yield from refused_pods(snapshot.cluster.children.values())
    yield from pod_problems(snapshot.cluster.pods, namespace=snapshot.policy.key.namespace, now=now)
    starting = list(_starting(snapshot))
    yield from starting
    starts = any(problem.reason is Reason.HINT_SERVICE_STARTING for problem in starting)
    if snapshot.hint_service.view is not None or not starts:
        yield from _hint_service(snapshot, now=now)


def _missing_agents(snapshot: PolicySnapshot) -> Iterator[Problem]:
    existing = {agent.key.name for agent in named_agents(snapshot.policy, snapshot.agents)}
    missing = [ref.name for ref in snapshot.policy.spec.telemetry.agents if ref.name not in existing]
    if missing:
        message = (
            f"spec.telemetry.agents names {', '.join(missing)}, but there is no TelemetryAgent of that name in"
            f" namespace {snapshot.policy.key.namespace}: create it, or remove the name"
        )
        yield Problem(reason=Reason.AGENT_NOT_FOUND, severity=Severity.DEGRADED, message=message)


def _unchangeable(snapshot: PolicySnapshot) -> Iterator[Problem]:
    redis = snapshot.policy.spec.hint_service.redis.embedded
    if redis is not None:
        name = names.redis(snapshot.policy.key.name)
        present = snapshot.cluster.children.get(ObjectRef(PERSISTENT_VOLUME_CLAIM.kind, name))
        yield from storage_problems(name, redis, present)


def _starting(snapshot: PolicySnapshot) -> Iterator[Problem]:
    policy, spec = snapshot.policy.key.name, snapshot.policy.spec
    workloads = [
        (Reason.HINT_SERVICE_STARTING, names.hintsvc(policy), wanted_replicas(snapshot)),
        (Reason.GATEWAY_STARTING, names.gateway(policy), spec.gateway.replicas),
    ]
    if spec.hint_service.redis.embedded is not None:
        workloads.insert(0, (Reason.REDIS_STARTING, names.redis(policy), 1))
    for reason, name, wanted in workloads:
        ready = ready_replicas(snapshot.cluster.children.get(ObjectRef(DEPLOYMENT.kind, name)))
        if ready < wanted:
            message = f"Deployment {name}: {ready} of {wanted} replicas are ready and up to date"
            yield Problem(reason=reason, severity=Severity.PROGRESSING, message=message)


def wanted_replicas(snapshot: PolicySnapshot) -> int:
    """Return how many replicas the policy's hint service should have at present."""
    deployment = snapshot.cluster.children.get(ObjectRef(DEPLOYMENT.kind, _deployment(snapshot)))
    return hintsvc_replicas(snapshot.policy.spec.hint_service, deployment)


def _hint_service(snapshot: PolicySnapshot, *, now: datetime) -> Iterator[Problem]:
    state, url = snapshot.hint_service, _address(snapshot)
    if state.view is not None:
        yield from _acknowledgements(snapshot, state.view)
        yield from _telemetry(snapshot, state.view, now=now)
        yield from _keys(snapshot, state.view)
        yield from certificate_problems(snapshot.policy, state.view, now=now)
    elif state.silence is Silence.UNTRUSTED:
        yield untrusted(snapshot.policy, state.error)
    elif state.silence is Silence.REFUSED:
        message = f"{url} {state.silence.value}: {state.error}: check the grants in its log"
        yield Problem(reason=Reason.HINT_SERVICE_REFUSED, severity=Severity.BLOCKING, message=message)
    elif _available_for_s(snapshot, now=now) < _ROUTED_S:
        message = f"Deployment {_deployment(snapshot)} is ready, and {url} does not answer yet"
        yield Problem(reason=Reason.HINT_SERVICE_STARTING, severity=Severity.PROGRESSING, message=message)
    else:
        message = f"{url} {state.silence.value}: {state.error}: see the logs of Deployment {_deployment(snapshot)}"
        yield Problem(reason=Reason.HINT_SERVICE_UNREACHABLE, severity=Severity.BLOCKING, message=message)


def _address(snapshot: PolicySnapshot) -> str:
    policy = snapshot.policy
    return hint_service_address(policy.key, policy.spec.security, snapshot.cluster.pods)


def _available_for_s(snapshot: PolicySnapshot, *, now: datetime) -> float:
    deployment = snapshot.cluster.children.get(ObjectRef(DEPLOYMENT.kind, _deployment(snapshot)))
    return available_for_s(deployment, now=now)


def _deployment(snapshot: PolicySnapshot) -> str:
    return names.hintsvc(snapshot.policy.key.name)


def _acknowledgements(snapshot: PolicySnapshot, view: ClusterView) -> Iterator[Problem]:
    generation = snapshot.policy.generation
    served = {replica.name: replica.generation for replica in view.replicas}
    serving = ready_pods(snapshot.cluster.pods, component=hintsvc.COMPONENT)
    refusing = {replica.name: replica.error for replica in view.replicas if replica.error and replica.name in serving}
    if refusing:
        name, error = min(refusing.items())
        message = (
            f"{', '.join(sorted(refusing))} stay with an older configuration: {name} says: {error}: let the images of"
            " the operator and of the hint service be of one release"
        )
        yield Problem(reason=Reason.CONFIG_REFUSED, severity=Severity.BLOCKING, message=message)
    behind = [name for name in serving if served.get(name, 0) < generation and name not in refusing]
    if behind:
        message = f"generation {generation} is not yet served by {', '.join(behind)}"
        yield Problem(reason=Reason.REPLICAS_NOT_ACKNOWLEDGED, severity=Severity.PROGRESSING, message=message)
    if not view.leader:
        message = (
            "no replica leads, so that no new hints are computed: readers drift to the fallback rate:"
            f" see whether Redis is well, and the logs of Deployment {_deployment(snapshot)}"
        )
        yield Problem(reason=Reason.NO_LEADER, severity=Severity.DEGRADED, message=message)


def _telemetry(snapshot: PolicySnapshot, view: ClusterView, *, now: datetime) -> Iterator[Problem]:
    silence_s = _silence_s(snapshot)
    if _available_for_s(snapshot, now=now) < silence_s:
        return
    silent = [agent.key.name for agent in silent_agents(snapshot, view)]
    if silent:
        message = (
            f"no telemetry from TelemetryAgent {', '.join(silent)} for {silence_s:g} s:"
            f" see kubectl -n {snapshot.policy.key.namespace} describe telemetryagent {silent[0]}"
        )
        yield Problem(reason=Reason.NO_TELEMETRY, severity=Severity.DEGRADED, message=message)


def silent_agents(snapshot: PolicySnapshot, view: ClusterView) -> list[Agent]:
    """Return the named agents of which no node has been heard for a while."""
    if view.snapshot is None:
        return []
    oldest = view.snapshot.at_unix_ms - _silence_s(snapshot) * 1000
    heard = {node.agent for node in view.nodes if node.at_unix_ms >= oldest}
    named = named_agents(snapshot.policy, snapshot.agents)
    return [agent for agent in named if agent.key.reported_as not in heard]


def _silence_s(snapshot: PolicySnapshot) -> float:
    return max(seconds(snapshot.policy.spec.telemetry.stale_after), _LEAST_SILENCE_S)


def _keys(snapshot: PolicySnapshot, view: ClusterView) -> Iterator[Problem]:
    references = {tenant.name: tenant.api_keys_secret_ref for tenant in snapshot.policy.spec.tenants}
    keyless = [(name, reference.name) for name in view.keyless if (reference := references.get(name)) is not None]
    if keyless:
        words = some([f"{name} (Secret {secret})" for name, secret in keyless], most=_NAMED)
        message = (
            f"no API key is known of tenant {words}, so that nobody is let in as these: create the Secret in"
            f" namespace {snapshot.policy.key.namespace}, each of its values a key; a mount may lag by a minute"
        )
        yield Problem(reason=Reason.TENANT_KEYS_MISSING, severity=Severity.DEGRADED, message=message)


def replica_statuses(snapshot: PolicySnapshot) -> list[ReplicaStatus]:
    """Return the replicas whose pods exist, with what each serves."""
    view = snapshot.hint_service.view
    if view is None:
        return []
    pods = {pod["metadata"]["name"] for pod in snapshot.cluster.pods}
    living = sorted((replica for replica in view.replicas if replica.name in pods), key=lambda r: r.name)
    return [ReplicaStatus(name=r.name, generation=r.generation, leader=r.name == view.leader) for r in living]


def model_status(report: ModelReport | None) -> ModelStatus | None:
    """Return what the leader says of its model; nothing where it runs none."""
    if report is None:
        return None
    return ModelStatus(mode=report.mode, version=report.version, message=report.message[:_MOST_WORDS])


def tenant_statuses(hints: list[Hint], usage: list[TenantUsage]) -> list[TenantStatus]:
    """Return for each tenant its worst path, its streams over all paths, and what it used."""
    by_tenant: defaultdict[str, list[Hint]] = defaultdict(list)
    for hint in hints:
        by_tenant[hint.tenant].append(hint)
    used = {of_tenant.tenant: of_tenant for of_tenant in usage}
    return [
        _tenant_status(tenant, of_tenant, used.get(tenant, TenantUsage(tenant=tenant)))
        for tenant, of_tenant in sorted(by_tenant.items())
    ]


def _tenant_status(tenant: str, hints: list[Hint], used: TenantUsage) -> TenantStatus:
    worst = min(hints, key=lambda hint: (hint.tokens_per_second, hint.health))
    paths = [hint for hint in hints if hint.path != ALL_PATHS]
    return TenantStatus(
        name=tenant,
        tokens_per_second=int(worst.tokens_per_second),
        batch_size=worst.batch_size,
        health_percent=round(worst.health * 100),
        active_streams=sum(hint.signals.active_streams for hint in paths or hints),
        state=worst.state,
        requests_last_minute=used.requests_last_minute,
        tokens_last_minute=used.tokens_last_minute,
    )
