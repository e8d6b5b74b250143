"""What the status remembers of alerts: since when each fires, or has been about to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from tokenflow_api.pacing_policy import AlertStatus, NotifierStatus, PendingAlert
from tokenflow_operator.plan.conditions import timestamp

_ALERTS: Final = TypeAdapter(list[AlertStatus])
_PENDING: Final = TypeAdapter(list[PendingAlert])
_NOTIFIERS: Final = TypeAdapter(list[NotifierStatus])

EntryT = TypeVar("EntryT", AlertStatus, PendingAlert, NotifierStatus)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What was last said, by name."""

    firing: Mapping[str, AlertStatus]
    pending: Mapping[str, PendingAlert]
    notifiers: Mapping[str, NotifierStatus]


def remembered(status: Mapping[str, Any]) -> Memory:
    """Return what a policy's status remembers. Whatever another wrote there that cannot be read is forgotten."""
    return Memory(
        firing=_read(_ALERTS, status.get("alerts")),
        pending=_read(_PENDING, status.get("pendingAlerts")),
        notifiers=_read(_NOTIFIERS, status.get("notifiers")),
    )


def _read(adapter: TypeAdapter[list[EntryT]], entries: Any) -> dict[str, EntryT]:
    try:
        return {entry.name: entry for entry in adapter.validate_python(entries or [])}
    except ValidationError:
        return {}


def moment(text: str, *, now: datetime) -> datetime:
    """Return a time that the status remembers; ``now`` for one that cannot be, or lies in the future."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now
    return min(found if found.tzinfo else found.replace(tzinfo=UTC), now)


def rounded_up(moment: datetime) -> str:
    """Return a time in whole seconds, never an earlier one: what lasts from then on has lasted no less."""
    return timestamp(moment + timedelta(seconds=1, microseconds=-1))
