"""What a PacingPolicy asks for, and how it fares."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_operator.kube.kinds import DEPLOYMENT
from tokenflow_operator.kube.objects import Manifest, ObjectRef, ref_of
from tokenflow_operator.plan import names, redis
from tokenflow_operator.plan.alerts.objects import policy_monitoring
from tokenflow_operator.plan.changes import Changes
from tokenflow_operator.plan.conditions import Judgement
from tokenflow_operator.plan.gateway import gateway_objects
from tokenflow_operator.plan.hintsvc import hintsvc_objects
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.pods import component_of
from tokenflow_operator.plan.policy_status import (
    model_status,
    policy_problems,
    replica_statuses,
    tenant_statuses,
    wanted_replicas,
)
from tokenflow_operator.plan.reasons import Problem, Reason
from tokenflow_operator.plan.runtime import runtime_config
from tokenflow_operator.plan.workloads import ready_replicas
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import PolicySnapshot


def render_policy(snapshot: PolicySnapshot, owner: Owner, installation: Installation) -> tuple[Manifest, ...]:
    """Render all objects of a policy."""
    policy, images = snapshot.policy, installation.images
    runtime = runtime_config(policy, agents=snapshot.agents, policies=snapshot.policies, operator=installation.identity)
    document = runtime.model_dump_json(exclude_none=True)
    own_redis = policy.spec.hint_service.redis.embedded
    return (
        owner.config_map(names.runtime(policy.key.name), "runtime", key=RUNTIME_KEY, document=document),
        *(redis.redis_objects(owner, own_redis, images, snapshot.cluster) if own_redis else ()),
        *hintsvc_objects(owner, policy.spec, images, snapshot.cluster),
        *gateway_objects(owner, policy.spec, images),
        *policy_monitoring(owner, policy.spec, installation.monitoring, served=snapshot.cluster.served),
    )


def without_redis_in_use(needed: Changes, snapshot: PolicySnapshot) -> Changes:
    """Keep a Redis that is asked for no more until all replicas of the hint service have gone to another one."""
    ref = ObjectRef(DEPLOYMENT.kind, names.hintsvc(snapshot.policy.key.name))
    embedded = snapshot.policy.spec.hint_service.redis.embedded
    arrived = ready_replicas(snapshot.cluster.children.get(ref)) >= wanted_replicas(snapshot)
    if embedded is not None or (arrived and ref not in map(ref_of, needed.apply)):
        return needed
    return replace(needed, delete=tuple(child for child in needed.delete if component_of(child) != redis.COMPONENT))


def policy_judgement(snapshot: PolicySnapshot, obstacles: tuple[Problem, ...], *, now: datetime) -> Judgement:
    """Judge a policy at the time of day ``now``, given what stands in the way of its objects."""
    policy = snapshot.policy
    replicas = wanted_replicas(snapshot)
    return Judgement(
        generation=policy.generation,
        problems=(*obstacles, *policy_problems(snapshot, now=now)),
        well=Reason.SERVING,
        summary=f"all {replicas} hint service replicas serve generation {policy.generation}",
    )


def policy_numbers(snapshot: PolicySnapshot) -> dict[str, Any]:
    """Return the fields of the status that tell what the policy's hint service measures and does."""
    view = snapshot.hint_service.view
    replicas = replica_statuses(snapshot)
    serving = sum(replica.generation == snapshot.policy.generation for replica in replicas)
    if view is None or view.snapshot is None:
        return {"replicas": replicas, "serving_replicas": serving}
    hints = view.snapshot.shadow or view.snapshot.hints
    return {
        "health_percent": round(view.snapshot.health * 100),
        "tokens_per_second": int(min(hint.tokens_per_second for hint in hints)) if hints else None,
        "replicas": replicas,
        "serving_replicas": serving,
        "tenants": tenant_statuses(hints, view.usage),
        "model": model_status(view.snapshot.model),
    }
