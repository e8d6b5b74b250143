"""What a pass comes to as to alerts: what the status says of them, what is told, and when to look again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenflow_api.quantities import seconds
from tokenflow_operator.plan.alerts.evaluation import Evaluation, evaluate, unchanged
from tokenflow_operator.plan.alerts.events import alert_notes
from tokenflow_operator.plan.alerts.memory import Memory, remembered
from tokenflow_operator.plan.alerts.sights import seen
from tokenflow_operator.plan.model import Note
from tokenflow_operator.snapshot import PolicySnapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """The alerts of a policy.

    Attributes:
        fields: of the status.
        notes: Events to record.
        due_in_s: seconds until something of it changes by time alone; infinite where nothing will.
    """

    fields: Mapping[str, Any]
    notes: tuple[Note, ...]
    due_in_s: float


def alarm(snapshot: PolicySnapshot, *, now: datetime) -> Alarm:
    """Evaluate the alerts of a policy at the time of day ``now``."""
    memory = remembered(snapshot.policy.status)
    evaluation = _evaluation(snapshot, memory, now=now)
    return Alarm(
        fields={
            "alerts": list(evaluation.firing),
            "firing_alerts": len(evaluation.firing),
            "pending_alerts": list(evaluation.pending),
        },
        notes=tuple(alert_notes(evaluation)),
        due_in_s=evaluation.due_in_s,
    )


def _evaluation(snapshot: PolicySnapshot, memory: Memory, *, now: datetime) -> Evaluation:
    if snapshot.hint_service.pending:
        return unchanged(memory)
    return evaluate(seen(snapshot), memory, for_s=seconds(snapshot.policy.spec.alerts.for_), now=now)
