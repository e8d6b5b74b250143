"""The plan of a resource: what it asks for, compared with what there is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from tokenflow_api.pacing_policy import PacingPolicyStatus
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.kube.kinds import PACING_POLICY
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.agent import agent_judgement, design_agent
from tokenflow_operator.plan.alerts.alarm import NO_ALARM, Alarm, alarm
from tokenflow_operator.plan.changes import Changes, changes
from tokenflow_operator.plan.conditions import Judgement, conditions
from tokenflow_operator.plan.due import due_in_s
from tokenflow_operator.plan.model import Plan
from tokenflow_operator.plan.notes import change_notes, condition_notes
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.policy import policy_judgement, policy_numbers, render_policy, without_redis_in_use
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.plan.status import writing
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot, InvalidSnapshot, PolicySnapshot, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """What a resource needs and how it fares, before it is compared with what was said of it last.

    Attributes:
        numbers: fields of the status besides its conditions.
        observed: the present status.
        written_at: when the operator last changed it.
        replace: pods to be ended, for others to take their place.
        again_s: seconds until time alone may ask for more, where that is known.
        alarm: what a policy's alerts come to.
        pending: it is not known yet how it fares: nothing is said, and no pod replaced.
    """

    model: type[PacingPolicyStatus | TelemetryAgentStatus]
    needed: Changes
    judgement: Judgement
    numbers: Mapping[str, Any]
    observed: Mapping[str, Any]
    written_at: datetime | None
    replace: tuple[Manifest, ...] = ()
    again_s: float | None = None
    alarm: Alarm = NO_ALARM
    pending: bool = False


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
            finding = _agent(snapshot, installation, now=now)
        case InvalidSnapshot():
            finding = _invalid(snapshot)
    if finding.pending:
        return Plan(apply=finding.needed.apply, delete=finding.needed.delete, notes=change_notes(finding.needed))
    judged = conditions(finding.judgement, observed=finding.observed, now=now)
    generation = finding.judgement.generation
    status = finding.model(observed_generation=generation, conditions=judged, **finding.numbers)
    written = writing(status, observed=finding.observed, written_at=finding.written_at, now=now)
    again_s = due_in_s(finding.judgement.problems, judged, now=now) if finding.again_s is None else finding.again_s
    due_s = min(finding.alarm.due_in_s, written.due_in_s, again_s, finding.needed.due_in_s)
    return Plan(
        apply=finding.needed.apply,
        delete=(*finding.needed.delete, *finding.replace),
        status=written.now,
        notes=(
            *change_notes(finding.needed, replaced=finding.replace),
            *condition_notes(judged, observed=finding.observed),
            *finding.alarm.notes,
        ),
        deliveries=finding.alarm.deliveries,
        requeue_after_s=None if due_s == inf else due_s,
    )


def _policy(snapshot: PolicySnapshot, installation: Installation, *, now: datetime) -> _Finding:
    policy = snapshot.policy
    owner = Owner(key=policy.key, uid=policy.uid)
    rendered = render_policy(snapshot, owner, installation)
    different = changes(owner, rendered, snapshot.cluster.children.values(), snapshot.cluster.refusals)
    needed = without_redis_in_use(different, snapshot)
    raised = NO_ALARM if snapshot.hint_service.pending else alarm(snapshot, installation, now=now)
    return _Finding(
        model=PacingPolicyStatus,
        needed=needed,
        judgement=policy_judgement(snapshot, (*needed.problems, *raised.problems), now=now),
        numbers={**policy_numbers(snapshot), **raised.fields},
        observed=policy.status,
        written_at=policy.status_written_at,
        alarm=raised,
        pending=snapshot.hint_service.pending,
    )


def _agent(snapshot: AgentSnapshot, installation: Installation, *, now: datetime) -> _Finding:
    agent = snapshot.agent
    owner = Owner(key=agent.key, uid=agent.uid)
    design = design_agent(snapshot, owner, installation, now=now)
    needed = changes(owner, design.objects, snapshot.cluster.children.values(), snapshot.cluster.refusals)
    return _Finding(
        model=TelemetryAgentStatus,
        needed=needed,
        judgement=agent_judgement(snapshot, design, needed.problems),
        numbers=design.numbers,
        observed=agent.status,
        written_at=agent.status_written_at,
        # An agent that started before all is applied might start as it was before.
        replace=() if needed.apply or snapshot.cluster.refusals else design.replace,
        again_s=None if needed.problems else design.again_s,
        pending=any(state.pending for state in snapshot.hint_services),
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
