"""The plan: what to change in the cluster, as data."""

from dataclasses import dataclass
from enum import StrEnum

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.notify.model import Delivery


class EventType(StrEnum):
    """Kubernetes knows these two."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """An Event to record about the resource."""

    type: EventType
    reason: str
    action: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do about one resource.

    Attributes:
        apply: objects to apply, in this order.
        delete: objects of the resource that it no longer asks for.
        status: the status to write; nothing where the present one may stand.
        notes: Events to record.
        deliveries: what to tell receivers of alerts.
        requeue_after_s: seconds until the next pass, unless something changes before; nothing if that suffices.
    """

    apply: tuple[Manifest, ...] = ()
    delete: tuple[Manifest, ...] = ()
    status: Manifest | None = None
    notes: tuple[Note, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    requeue_after_s: float | None = None
