"""What would change, as data, and in words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tokenflow_operator.cli.difference import FieldChange, differences
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Manifest, ObjectRef
from tokenflow_operator.kube.kinds import CONFIG_MAP, DAEMON_SET, DEPLOYMENT
from tokenflow_operator.kube.objects import ref_of

_SETTINGS: Final = "spec."
_OF_PODS: Final = re.compile(
    r"spec\.(hintService\.|gateway\.(replicas|resources)|security$|security\.tlsSecretRef"
    r"|image|resources|nodeSelector|tolerations|rollout)"
)
"""Fields that programs are told, but that act on the objects around them."""


class Action(StrEnum):
    """What the operator would do with an object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    REFUSED = "refused"
    """The API server would not take it."""
    TAKEN = "taken"
    """It exists, belongs to another, and would be left alone."""


_SIGNS: Final = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-", Action.REFUSED: "!", Action.TAKEN: "!"}
_REMARKS: Final = {
    Action.REFUSED: ": the API server would not take it",
    Action.TAKEN: ": it exists and belongs to another: rename or delete it, or give the resource another name",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectChange:
    """What would become of one object.

    Attributes:
        fields: that would change; empty for objects that come or go.
        restarts: pods that would be replaced, one by one or in waves.
    """

    ref: ObjectRef
    action: Action
    fields: tuple[FieldChange, ...] = ()
    restarts: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulation:
    """What would become of one resource, or of its neighbour, and of its objects.

    Attributes:
        fields: of the resource itself that would change.
        exists: whether the resource exists already.
        words: what the API server has to say about objects that it would not take.
    """

    key: Key
    fields: tuple[FieldChange, ...]
    exists: bool
    objects: tuple[ObjectChange, ...]
    words: str = ""

    @property
    def live(self) -> list[str]:
        """Settings that running programs would take over without a restart."""
        documents = [change for change in self.objects if change.ref.kind == CONFIG_MAP.kind]
        paths = (field.path.partition("].")[2] for change in documents for field in change.fields)
        return [path for path in paths if path.startswith(_SETTINGS) and not _OF_PODS.match(path)]

    @property
    def accepted(self) -> bool:
        """Whether all objects would come to be as the resource asks."""
        return all(change.action not in (Action.REFUSED, Action.TAKEN) for change in self.objects)


def applied(ref: ObjectRef, *, before: Manifest | None, after: Manifest | None) -> ObjectChange:
    """Return what applying an object would do, ``after`` being what the API server would make of it."""
    if after is None:
        return ObjectChange(ref=ref, action=Action.REFUSED)
    if before is None:
        return ObjectChange(ref=ref, action=Action.CREATE)
    restarts = _pods(before) if _template(before) != _template(after) else 0
    return ObjectChange(ref=ref, action=Action.CHANGE, fields=tuple(differences(before, after)), restarts=restarts)


def deleted(manifest: Manifest) -> ObjectChange:
    """Return what deleting an object does."""
    return ObjectChange(ref=ref_of(manifest), action=Action.DELETE)


def _template(workload: Manifest) -> Any:
    return workload["spec"].get("template") if workload["kind"] in (DEPLOYMENT.kind, DAEMON_SET.kind) else None


def _pods(workload: Manifest) -> int:
    if workload["kind"] == DAEMON_SET.kind:
        count: int = workload.get("status", {}).get("desiredNumberScheduled", 0)
        return count
    return int(workload["spec"].get("replicas", 1))


def text(simulations: Sequence[Simulation]) -> str:
    """Return what would change, for people to read."""
    return "\n".join("\n".join(_paragraph(simulation)) + "\n" for simulation in simulations)


def _paragraph(simulation: Simulation) -> Iterator[str]:
    yield f"{simulation.key}" if simulation.exists else f"{simulation.key} (new)"
    yield from (f"  {field}" for field in simulation.fields)
    if not simulation.objects:
        yield "  no object changes"
    for change in simulation.objects:
        yield f"  {_SIGNS[change.action]} {change.ref}{_REMARKS.get(change.action, '')}"
        yield from (f"      {field}" for field in change.fields)
    if simulation.words:
        yield f"  refused: {simulation.words}"
    if simulation.live:
        yield f"  taken over while running: {', '.join(simulation.live)}"
    restarting = [f"{change.restarts} of {change.ref}" for change in simulation.objects if change.restarts]
    yield f"  pods that restart: {', '.join(restarting) or 'none'}"


def document(simulations: Sequence[Simulation]) -> dict[str, Any]:
    """Return what would change, for programs to read."""
    return {
        "accepted": all(simulation.accepted for simulation in simulations),
        "resources": [
            {
                "kind": simulation.key.kind,
                "namespace": simulation.key.namespace,
                "name": simulation.key.name,
                "exists": simulation.exists,
                "fields": _fields(simulation.fields),
                "objects": [
                    {
                        "kind": change.ref.kind,
                        "name": change.ref.name,
                        "action": change.action.value,
                        "fields": _fields(change.fields),
                        "restarts": change.restarts,
                    }
                    for change in simulation.objects
                ],
                "live": simulation.live,
                "words": simulation.words,
            }
            for simulation in simulations
        ],
    }


def _fields(changes: Sequence[FieldChange]) -> list[dict[str, Any]]:
    return [{"path": change.path, "before": change.before, "after": change.after} for change in changes]
