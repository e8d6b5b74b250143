"""The plan of a resource: what it asks for, compared with what there is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tokenflow_api.pacing_policy import PacingPolicyStatus
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.kube.kinds import PACING_POLICY
from tokenflow_operator.plan.agent import agent_judgement, agent_numbers, render_agent
from tokenflow_operator.plan.changes import Changes, changes
from tokenflow_operator.plan.conditions import Judgement, conditions
from tokenflow_operator.plan.model import Plan
from tokenflow_operator.plan.notes import notes
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.policy import policy_judgement, policy_numbers, render_policy
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.plan.status import MIN_WRITE_INTERVAL_S, status_to_write
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot, InvalidSnapshot, PolicySnapshot, Snapshot

SETTLING_S: Final = 0.5
"""Seconds between two looks while replicas take up a new generation."""
STARTING_S: Final = 1.0
"""Seconds between two looks while something starts."""
RESTING_S: Final = MIN_WRITE_INTERVAL_S
"""Seconds between two looks while nothing is under way."""
REFUSED_S: Final = 15.0
"""Seconds until what the API refused is tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """What a resource needs and how it fares, before it is compared with what was said of it last.

    Attributes:
        numbers: fields of the status besides its conditions.
        observed: the present status.
        written_at: when the operator last changed it.
    """

    model: type[PacingPolicyStatus | TelemetryAgentStatus]
    needed: Changes
    judgement: Judgement
    numbers: Mapping[str, Any]
    observed: Mapping[str, Any]
    written_at: datetime | None


def plan(snapshot: Snapshot, installation: Installation, *, now: datetime) -> Plan:
    """Return what to do about a resource.

    Args:
        snapshot: what was observed.
        installation: what the operator was told when it started.
        now: the time of day, for the times in conditions and the age of the last status write.
    """
    match snapshot:
        case PolicySnapshot():
            finding = _policy(snapshot, installation, now=now)
        case AgentSnapshot():
            finding = _agent(snapshot, installation)
        case InvalidSnapshot():
            finding = _invalid(snapshot)
    judged = conditions(finding.judgement, observed=finding.observed, now=now)
    generation = finding.judgement.generation
    status = finding.model(observed_generation=generation, conditions=judged, **finding.numbers)
    return Plan(
        apply=finding.needed.apply,
        delete=finding.needed.delete,
        status=status_to_write(status, observed=finding.observed, written_at=finding.written_at, now=now),
        notes=notes(changes=finding.needed, judged=judged, observed=finding.observed),
        requeue_after_s=_requeue_after_s(finding.judgement.problems),
    )


def _policy(snapshot: PolicySnapshot, installation: Installation, *, now: datetime) -> _Finding:
    policy = snapshot.policy
    owner = Owner(key=policy.key, uid=policy.uid)
    needed = changes(
        owner,
        render_policy(snapshot, owner, installation),
        snapshot.cluster.children.values(),
        snapshot.cluster.refusals,
    )
    return _Finding(
        model=PacingPolicyStatus,
        needed=needed,
        judgement=policy_judgement(snapshot, needed.problems, now=now),
        numbers=policy_numbers(snapshot),
        observed=policy.status,
        written_at=policy.status_written_at,
    )


def _agent(snapshot: AgentSnapshot, installation: Installation) -> _Finding:
    agent = snapshot.agent
    owner = Owner(key=agent.key, uid=agent.uid)
    needed = changes(
        owner,
        render_agent(snapshot, owner, installation),
        snapshot.cluster.children.values(),
        snapshot.cluster.refusals,
    )
    judgement = agent_judgement(snapshot, needed.problems)
    return _Finding(
        model=TelemetryAgentStatus,
        needed=needed,
        judgement=judgement,
        numbers=agent_numbers(snapshot, judgement),
        observed=agent.status,
        written_at=agent.status_written_at,
    )


def _invalid(snapshot: InvalidSnapshot) -> _Finding:
    message = f"{snapshot.error}: correct the field, and see whether the CRDs are of the operator's version"
    problem = Problem(reason=Reason.INVALID_SPEC, severity=Severity.BLOCKING, message=message)
    return _Finding(
        model=PacingPolicyStatus if snapshot.key.kind == PACING_POLICY.kind else TelemetryAgentStatus,
        needed=Changes(apply=(), delete=(), problems=()),
        judgement=Judgement(
            generation=snapshot.generation, problems=(problem,), well=Reason.UP_TO_DATE, summary="it can be read"
        ),
        numbers={},
        observed=snapshot.status,
        written_at=None,
    )


def _requeue_after_s(problems: tuple[Problem, ...]) -> float:
    reasons = {problem.reason for problem in problems}
    under_way = {problem.reason for problem in problems if problem.severity is Severity.PROGRESSING}
    if Reason.APPLY_REFUSED in reasons:
        return REFUSED_S
    if under_way == {Reason.REPLICAS_NOT_ACKNOWLEDGED}:
        return SETTLING_S
    return STARTING_S if under_way else RESTING_S
