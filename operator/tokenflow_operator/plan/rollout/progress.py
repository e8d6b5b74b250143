"""The rollout of one TelemetryAgent: from what was observed to what is done, and what the status says of it."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from tokenflow_api.cluster import NodeReport
from tokenflow_api.telemetry_agent import (
    PAUSE_ANNOTATION,
    RETRY_ANNOTATION,
    UNDO_ANNOTATION,
    RolloutStage,
    RolloutStatus,
)
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.conditions import timestamp
from tokenflow_operator.plan.rollout.decide import decide
from tokenflow_operator.plan.rollout.gates import evidence
from tokenflow_operator.plan.rollout.nodes import name_of
from tokenflow_operator.plan.rollout.revisions import History, revision_of
from tokenflow_operator.plan.rollout.sites import Site, sites_of
from tokenflow_operator.plan.rollout.situation import Decision, Situation
from tokenflow_operator.snapshot import Agent

_AT_ONCE_S: Final = 0.2
_MAX_MESSAGE: Final = 1024
_MAX_RETRIED: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How a rollout goes on.

    Attributes:
        template: pod template that the DaemonSet gets.
        replace: agents to be ended, for the DaemonSet's controller to start others.
        wanted: revision that the resource asks for.
        sites: the nodes.
        desired: number of nodes that should run an agent.
        updated: number of nodes that run the wanted revision.
        good: revision that proved itself last.
        status: what is said of it.
        is_over: nothing is under way.
        again_s: seconds until the next look; ``None`` where time alone changes nothing.
    """

    template: Manifest
    replace: tuple[Manifest, ...]
    sites: tuple[Site, ...]
    desired: int
    wanted: str
    updated: int
    good: str
    status: RolloutStatus
    is_over: bool
    again_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Memory:
    """What the status remembers of the rollout of the wanted revision.

    Attributes:
        rollout: its state; a fresh one where the wanted revision is new.
        updated: number of nodes that ran it.
        is_new: it was not wanted before, or has failed and is to be tried again.
    """

    rollout: RolloutStatus
    updated: int
    is_new: bool


def roll_out(
    agent: Agent,
    *,
    template: Manifest,
    history: History,
    pods: Sequence[Manifest],
    nodes: Sequence[Manifest] | None,
    desired: int | None,
    reports: Collection[NodeReport] | None,
    now: datetime,
) -> Progress:
    """Return how the agent's rollout goes on.

    Args:
        agent: the resource.
        template: what it asks for.
        history: earlier templates.
        pods: its agents.
        nodes: of the cluster; ``None`` where they cannot be read.
        desired: number of nodes that should run an agent; ``None`` before the DaemonSet's controller has seen its spec.
        reports: the newest of each node; ``None`` where no hint service answers.
        now: time of day.
    """
    wanted = revision_of(template)
    memory = _memory(agent, wanted)
    sites = sites_of(agent.spec, pods, nodes)
    undone = agent.annotations.get(UNDO_ANNOTATION) == wanted
    good = _good(agent, sites, history, undone=wanted if undone else "")
    kept = history.template(good, placed_as=template)
    updated = sum(1 for site in sites if site.revision == wanted)
    since = _since(memory, updated=updated, now=now)
    situation = Situation(
        spec=agent.spec.rollout,
        wanted=wanted,
        good=good,
        can_go_back=kept is not None,
        undone=undone,
        paused=agent.annotations.get(PAUSE_ANNOTATION) == "true",
        condemned=memory.rollout.message if memory.rollout.failed_revision else "",
        before=memory.rollout,
        standing_s=(now - since).total_seconds(),
        sites=sites,
        desired=max(desired or 0, len(sites)),
        is_seen=desired is not None,
        nodes=None if nodes is None else {name_of(node): node for node in nodes},
        evidence=evidence(reports, sites, wanted),
        now=now,
    )
    decision = decide(situation)
    status = _status(agent, situation, decision, since=since)
    recorded = not memory.is_new and _essence(status) == _essence(memory.rollout)
    replace = decision.replace if recorded and situation.is_seen else ()
    proved = decision.stage is RolloutStage.COMPLETE and decision.is_over and situation.desired > 0
    return Progress(
        template=template if kept is None or decision.target == wanted else kept,
        replace=tuple(site.pod for site in replace if site.pod is not None),
        sites=sites,
        desired=situation.desired,
        wanted=wanted,
        updated=updated,
        good=wanted if proved else good,
        status=status,
        is_over=decision.is_over,
        again_s=decision.again_s if recorded else _AT_ONCE_S,
    )


def _memory(agent: Agent, wanted: str) -> _Memory:
    status = agent.status
    rollout = _recorded(status)
    retry = agent.annotations.get(RETRY_ANNOTATION, "")[:_MAX_RETRIED]
    asked_again = retry not in ("", rollout.retried) or status.get("observedGeneration") != agent.generation
    if status.get("revision") != wanted or (rollout.failed_revision == wanted and asked_again):
        return _Memory(rollout=RolloutStatus(retried=rollout.retried), updated=0, is_new=True)
    return _Memory(rollout=rollout, updated=status.get("updated", 0), is_new=False)


def _recorded(status: Any) -> RolloutStatus:
    try:
        return RolloutStatus.model_validate(status.get("rollout") or {})
    except ValidationError:
        # Whatever another wrote there is replaced.
        return RolloutStatus()


def _good(agent: Agent, sites: Sequence[Site], history: History, *, undone: str) -> str:
    """Return the revision that proved itself last; the one that most agents run where no rollout was recorded yet."""
    if "rollout" not in agent.status:
        running = Counter(site.revision for site in sites if site.is_ready)
        return min(running, key=lambda revision: (-running[revision], revision), default="")
    good: str = agent.status.get("lastGoodRevision", "")
    return history.newest_but(undone) if undone and good == undone else good


def _since(memory: _Memory, *, updated: int, now: datetime) -> datetime:
    """Return when the rollout last came further: began, or reached one more node."""
    if memory.is_new or not memory.rollout.since or updated > memory.updated:
        return now
    return datetime.fromisoformat(memory.rollout.since)


def _status(agent: Agent, situation: Situation, decision: Decision, *, since: datetime) -> RolloutStatus:
    moved = decision.stage is not situation.before.stage
    return RolloutStatus(
        stage=decision.stage,
        canary_nodes=list(decision.canary_nodes),
        since=timestamp(situation.now if moved else since),
        failed_revision=situation.wanted if decision.failed else "",
        message=decision.message[:_MAX_MESSAGE],
        retried=agent.annotations.get(RETRY_ANNOTATION, "")[:_MAX_RETRIED],
    )


def _essence(status: RolloutStatus) -> tuple[RolloutStage, frozenset[str], str, str]:
    """Return what must be on record before it is acted on."""
    return status.stage, frozenset(status.canary_nodes), status.failed_revision, status.retried
