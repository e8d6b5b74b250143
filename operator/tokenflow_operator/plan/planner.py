"""The plan of a resource: what it asks for, compared with what there is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

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

_NOTHING: Final = Changes(apply=(), delete=(), problems=())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Before:
    """The present status, and when it was written."""

    status: Mapping[str, Any]
    written_at: datetime | None


def plan(snapshot: Snapshot, installation: Installation, *, now: datetime) -> Plan:
    """Return what to do about a resource.

    Args:
        snapshot: what was observed.
        installation: what the operator was told when it started.
        now: the time of day, for the times in conditions and the age of the last status write.
    """
    match snapshot:
        case PolicySnapshot(policy=policy, cluster=cluster):
            owner = Owner(key=policy.key, uid=policy.uid)
            needed = changes(owner, render_policy(snapshot, owner, installation), cluster)
            judgement = policy_judgement(snapshot, needed.problems)
            before = _Before(status=policy.status, written_at=policy.status_written_at)
            return _plan(needed, judgement, numbers=policy_numbers(snapshot), before=before, now=now)
        case AgentSnapshot(agent=agent, cluster=cluster):
            owner = Owner(key=agent.key, uid=agent.uid)
            needed = changes(owner, render_agent(snapshot, owner, installation), cluster)
            judgement = agent_judgement(snapshot, needed.problems)
            before = _Before(status=agent.status, written_at=agent.status_written_at)
            return _plan(needed, judgement, numbers=agent_numbers(snapshot, judgement), before=before, now=now)
        case InvalidSnapshot():
            message = f"{snapshot.error}: correct the field, and see whether the CRDs are of the operator's version"
            problem = Problem(reason=Reason.INVALID_SPEC, severity=Severity.BLOCKING, message=message)
            judgement = Judgement(
                generation=snapshot.generation, problems=(problem,), well=Reason.UP_TO_DATE, summary=""
            )
            before = _Before(status=snapshot.status, written_at=None)
            return _plan(_NOTHING, judgement, numbers={}, before=before, now=now)


def _plan(needed: Changes, judgement: Judgement, *, numbers: Mapping[str, Any], before: _Before, now: datetime) -> Plan:
    judged = conditions(judgement, observed=before.status, now=now)
    wanted: dict[str, Any] = {
        "observedGeneration": judgement.generation,
        "conditions": [condition.model_dump(mode="json") for condition in judged],
        **numbers,
    }
    return Plan(
        apply=needed.apply,
        delete=needed.delete,
        status=status_to_write(wanted, observed=before.status, written_at=before.written_at, now=now),
        notes=notes(changes=needed, judged=judged, observed=before.status),
        requeue_after_s=_requeue_after_s(judgement.problems),
    )


def _requeue_after_s(problems: tuple[Problem, ...]) -> float:
    reasons = {problem.reason for problem in problems}
    under_way = {problem.reason for problem in problems if problem.severity is Severity.PROGRESSING}
    if Reason.APPLY_REFUSED in reasons:
        return REFUSED_S
    if under_way == {Reason.REPLICAS_NOT_ACKNOWLEDGED}:
        return SETTLING_S
    return STARTING_S if under_way else RESTING_S
