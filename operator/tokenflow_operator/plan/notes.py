"""Which Events to record: what was changed, and what turned bad or good."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tokenflow_api.meta import Condition, ConditionStatus
from tokenflow_operator.kube.objects import Manifest, ref_of
from tokenflow_operator.plan.changes import Changes
from tokenflow_operator.plan.conditions import DEGRADED, READY
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.model import EventType, Note

APPLIED: Final = "Applied"
PRUNED: Final = "Pruned"
REPLACED: Final = "Replaced"
_NAMED: Final = 10


def change_notes(changes: Changes, *, replaced: Sequence[Manifest] = ()) -> tuple[Note, ...]:
    """Return the Events of what is changed in this pass.

    Args:
        changes: of objects.
        replaced: pods that are ended, for others to take their place.
    """
    found = []
    if changes.apply:
        what = ", ".join(str(ref_of(manifest)) for manifest in changes.apply)
        found.append(Note(type=EventType.NORMAL, reason=APPLIED, action="Apply", message=f"applied {what}"))
    if changes.delete:
        what = ", ".join(str(ref_of(manifest)) for manifest in changes.delete)
        found.append(Note(type=EventType.NORMAL, reason=PRUNED, action="Delete", message=f"deleted {what}"))
    if replaced:
        nodes = [pod.get("spec", {}).get("nodeName", "no node") for pod in replaced]
        what = f"replaced the agents on {some(nodes, most=_NAMED)}"
        found.append(Note(type=EventType.NORMAL, reason=REPLACED, action="Replace", message=what))
    return tuple(found)


def condition_notes(judged: Sequence[Condition], *, observed: Mapping[str, Any]) -> tuple[Note, ...]:
    """Return the Events of conditions whose status or reason changes.

    The written status is the memory of what was told.
    """
    found = []
    before = {c["type"]: (c["status"], c["reason"]) for c in observed.get("conditions", [])}
    for condition in judged:
        told = before.get(condition.type) == (condition.status, condition.reason)
        holds = condition.status is ConditionStatus.TRUE
        if told or not holds or condition.type not in (READY, DEGRADED):
            continue
        type_ = EventType.NORMAL if condition.type == READY else EventType.WARNING
        found.append(Note(type=type_, reason=condition.reason, action="Judge", message=condition.message))
    return tuple(found)
