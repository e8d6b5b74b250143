"""What a TelemetryAgent asks for, and how it fares."""

from typing import Any

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.agent_status import (
    MAX_LISTED,
    agent_problems,
    backends,
    daemon_set_of,
    degraded_nodes,
)
from tokenflow_operator.plan.alerts.objects import agent_monitoring
from tokenflow_operator.plan.conditions import Judgement
from tokenflow_operator.plan.daemonset import agent_objects
from tokenflow_operator.plan.objects import INTENT_ANNOTATION, Owner
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.plan.runtime import MAX_POLICIES_PER_AGENT, agent_config, policies_of, tls_secrets
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot


def render_agent(snapshot: AgentSnapshot, owner: Owner, installation: Installation) -> tuple[Manifest, ...]:
    """Render all objects of a TelemetryAgent."""
    config = agent_config(snapshot.agent, snapshot.policies)
    served = policies_of(snapshot.agent, snapshot.policies)[:MAX_POLICIES_PER_AGENT]
    tls = tls_secrets({policy.key.name: policy.spec for policy in served})
    return (
        *agent_objects(owner, snapshot.agent.spec, config, installation.images, tls=tls),
        *agent_monitoring(owner, installation.monitoring, served=snapshot.cluster.served),
    )


def agent_judgement(snapshot: AgentSnapshot, obstacles: tuple[Problem, ...]) -> Judgement:
    """Judge a TelemetryAgent, given what stands in the way of its objects."""
    daemon_set = daemon_set_of(snapshot)
    nodes = daemon_set["status"].get("desiredNumberScheduled", 0) if daemon_set else 0
    named = [policy.key.name for policy in policies_of(snapshot.agent, snapshot.policies)]
    delivering = f"deliver to {', '.join(named)}" if named else "export metrics only: no policy names them"
    return Judgement(
        generation=snapshot.agent.generation,
        problems=(*obstacles, *agent_problems(snapshot)),
        well=Reason.MEASURING,
        summary=f"agents on all {nodes} nodes {delivering}",
    )


def agent_numbers(snapshot: AgentSnapshot, judgement: Judgement) -> dict[str, Any]:
    """Return the fields of the status that tell how far the agents are rolled out, and what they read."""
    degraded = degraded_nodes(snapshot)
    daemon_set = daemon_set_of(snapshot)
    rollout = daemon_set["status"] if daemon_set else {}
    revision = daemon_set["metadata"].get("annotations", {}).get(INTENT_ANNOTATION, "") if daemon_set else ""
    settled = all(problem.severity is Severity.DEGRADED for problem in judgement.problems)
    last_good = revision if settled else snapshot.agent.status.get("lastGoodRevision", "")
    return {
        "desired": rollout.get("desiredNumberScheduled", 0),
        "updated": rollout.get("updatedNumberScheduled", 0),
        "ready": rollout.get("numberReady", 0),
        "degraded": len(degraded),
        "revision": revision,
        "last_good_revision": last_good,
        "backends": backends(snapshot),
        "degraded_nodes": degraded[:MAX_LISTED],
    }
