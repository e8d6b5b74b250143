"""What a TelemetryAgent asks for, and how it fares."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.agent_status import (
    MAX_LISTED,
    agent_problems,
    backends,
    daemon_set_of,
    degraded_nodes,
    node_reports,
)
from tokenflow_operator.plan.alerts.objects import agent_monitoring
from tokenflow_operator.plan.conditions import Judgement
from tokenflow_operator.plan.daemonset import agent_objects, agent_template
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.reasons import Problem, Reason
from tokenflow_operator.plan.rollout import overlap_of, roll_out
from tokenflow_operator.plan.rollout.problems import overlap_problem, rollout_problems
from tokenflow_operator.plan.rollout.revisions import History
from tokenflow_operator.plan.runtime import MAX_POLICIES_PER_AGENT, agent_config, policies_of, tls_secrets
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentDesign:
    """What there is to be of a TelemetryAgent, and what there is to say of it.

    Attributes:
        objects: all that it asks for.
        replace: agents to be ended, for others to take their place.
        again_s: seconds until time alone may ask for more; ``None`` where only a change can.
        problems: what is not as it was asked for.
        numbers: fields of the status besides its conditions.
    """

    objects: tuple[Manifest, ...] = ()
    replace: tuple[Manifest, ...] = ()
    again_s: float | None = None
    problems: tuple[Problem, ...]
    numbers: dict[str, Any]


def design_agent(snapshot: AgentSnapshot, owner: Owner, installation: Installation, *, now: datetime) -> AgentDesign:
    """Return what there is to be of a TelemetryAgent: nothing where an older one has its nodes."""
    agent = snapshot.agent
    overlap = overlap_of(agent, snapshot.agents, snapshot.nodes)
    if overlap is not None:
        return AgentDesign(problems=(overlap_problem(overlap),), numbers={})
    served = policies_of(agent, snapshot.policies)[:MAX_POLICIES_PER_AGENT]
    tls = tls_secrets({policy.key.name: policy.spec for policy in served})
    daemon_set = daemon_set_of(snapshot)
    answered = any(state.view is not None for state in snapshot.hint_services)
    progress = roll_out(
        agent,
        template=agent_template(owner, agent.spec, installation.images, tls=tls),
        history=History(snapshot.revisions),
        pods=snapshot.cluster.pods,
        nodes=snapshot.nodes,
        desired=daemon_set["status"].get("desiredNumberScheduled", 0) if daemon_set else None,
        reports=node_reports(snapshot) if answered else None,
        now=now,
    )
    degraded = degraded_nodes(snapshot, progress.sites, now)
    return AgentDesign(
        objects=(
            *agent_objects(
                owner, agent_config(agent, snapshot.policies, addresses=snapshot.addresses), progress.template
            ),
            *agent_monitoring(owner, installation.monitoring, served=snapshot.cluster.served),
        ),
        replace=progress.replace,
        again_s=progress.again_s,
        problems=(*rollout_problems(progress), *agent_problems(snapshot, degraded, now=now)),
        numbers={
            "desired": progress.desired,
            "updated": progress.updated,
            "ready": sum(1 for site in progress.sites if site.is_ready),
            "degraded": len(degraded),
            "revision": progress.wanted,
            "last_good_revision": progress.good,
            "rollout": progress.status,
            "backends": backends(snapshot),
            "degraded_nodes": degraded[:MAX_LISTED],
        },
    )


def agent_judgement(snapshot: AgentSnapshot, design: AgentDesign, obstacles: tuple[Problem, ...]) -> Judgement:
    """Judge a TelemetryAgent, given what stands in the way of its objects."""
    named = [policy.key.name for policy in policies_of(snapshot.agent, snapshot.policies)]
    delivering = f"deliver to {', '.join(named)}" if named else "export metrics only: no policy names them"
    ready, desired = design.numbers.get("ready", 0), design.numbers.get("desired", 0)
    return Judgement(
        generation=snapshot.agent.generation,
        problems=(*obstacles, *design.problems),
        well=Reason.MEASURING,
        summary=f"agents on {'all' if ready == desired else f'{ready} of'} {desired} nodes {delivering}",
    )
