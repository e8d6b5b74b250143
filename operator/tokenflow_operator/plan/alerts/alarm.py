"""What a pass comes to as to alerts: what the status says of them, who is told what, and when to look again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Final

from tokenflow_api.quantities import seconds
from tokenflow_operator.notify.model import Delivery, NotifierState
from tokenflow_operator.plan.alerts.evaluation import Evaluation, evaluate
from tokenflow_operator.plan.alerts.events import alert_notes
from tokenflow_operator.plan.alerts.memory import Memory, remembered
from tokenflow_operator.plan.alerts.notifier_problems import notifier_problems
from tokenflow_operator.plan.alerts.sights import seen
from tokenflow_operator.plan.alerts.telling import Telling, telling
from tokenflow_operator.plan.model import Note
from tokenflow_operator.plan.reasons import Problem
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import PolicySnapshot

_UNKNOWN: Final = NotifierState()


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """The alerts of a policy.

    Attributes:
        fields: of the status.
        problems: of those who are to be told.
        notes: Events to record.
        deliveries: what to tell them.
        due_in_s: seconds until something of it changes by time alone; infinite where nothing will.
    """

    fields: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    due_in_s: float = inf


NO_ALARM: Final = Alarm(fields={})


def alarm(snapshot: PolicySnapshot, installation: Installation, *, now: datetime) -> Alarm:
    """Evaluate the alerts of a policy of whose hint service something is known, at the time of day ``now``."""
    policy = snapshot.policy
    memory = remembered(policy.status)
    evaluation = evaluate(seen(snapshot, now=now), memory, for_s=seconds(policy.spec.alerts.for_), now=now)
    tellings = _tellings(snapshot, evaluation, memory, docs_url=installation.monitoring.docs_url, now=now)
    notifiers = policy.spec.alerts.notifiers
    return Alarm(
        fields={
            "alerts": list(evaluation.firing),
            "firing_alerts": len(evaluation.firing),
            "pending_alerts": list(evaluation.pending),
            "notifiers": [each.status for each in tellings],
        },
        problems=tuple(notifier_problems(policy.key, notifiers, snapshot.notifiers, operator=installation.identity)),
        notes=tuple(alert_notes(evaluation)),
        deliveries=tuple(each.delivery for each in tellings if each.delivery is not None),
        due_in_s=min(evaluation.due_in_s, *(each.due_in_s for each in tellings), inf),
    )


def _tellings(
    snapshot: PolicySnapshot, evaluation: Evaluation, memory: Memory, *, docs_url: str, now: datetime
) -> list[Telling]:
    return [
        telling(
            snapshot.policy.key,
            notifier,
            snapshot.notifiers.get(notifier.name, _UNKNOWN),
            firing=evaluation.firing,
            memory=memory,
            docs_url=docs_url,
            now=now,
        )
        for notifier in snapshot.policy.spec.alerts.notifiers
    ]
