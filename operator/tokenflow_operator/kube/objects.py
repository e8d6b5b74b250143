"""Kubernetes objects as the API speaks them, and the few facts that are read from any of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from tokenflow_operator.kube.kinds import CHILDREN, POD, Kind

Manifest: TypeAlias = dict[str, Any]

_KINDS = {kind.kind: kind for kind in (*CHILDREN, POD)}


@dataclass(frozen=True, order=True, slots=True)
class ObjectRef:
    """Kind and name of a child or of a pod; its namespace is its owner's."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def ref_of(manifest: Manifest) -> ObjectRef:
    """Return the kind and name of an object."""
    return ObjectRef(kind=manifest["kind"], name=manifest["metadata"]["name"])


def kind_of(ref: ObjectRef) -> Kind:
    """Return where the API serves a child."""
    return _KINDS[ref.kind]


def controller_uid(manifest: Manifest) -> str:
    """Return the UID of the object's controlling owner, or nothing."""
    owners = manifest["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def status_written_at(manifest: Manifest, *, manager: str) -> datetime | None:
    """Return when ``manager`` last changed the object's status, by the API server's own clock."""
    entries = manifest["metadata"].get("managedFields", [])
    times = [
        datetime.fromisoformat(entry["time"])
        for entry in entries
        if entry.get("manager") == manager and entry.get("subresource") == "status" and "time" in entry
    ]
    return max(times, default=None)
