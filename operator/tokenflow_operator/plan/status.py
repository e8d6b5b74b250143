"""Whether a status is worth a write.

A status that changes its meaning is written at once; mere numbers move all the time and are
written at most every few seconds, by the API server's record of the last write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Final

from pydantic import ValidationError

from tokenflow_api.pacing_policy import PacingPolicyStatus
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.kube.objects import Manifest

MIN_WRITE_INTERVAL_S: Final = 5.0
_NUMBERS: Final = frozenset(
    {"healthPercent", "tokensPerSecond", "tenants", "desired", "updated", "ready", "degraded", "backends"}
)
"""Fields that may wait. All others tell of conditions, generations, replicas or nodes."""

_WORDY: Final = ("conditions", "alerts", "degradedNodes")
"""Lists of which each entry's message may wait."""

Status = PacingPolicyStatus | TelemetryAgentStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """The status to write now, or nothing; and the seconds until one may be written that has to wait."""

    now: Manifest | None = None
    due_in_s: float = inf


def writing(status: Status, *, observed: Mapping[str, Any], written_at: datetime | None, now: datetime) -> Writing:
    """Return what to write of a status.

    Args:
        status: what is to be said.
        observed: what is said at present, as it stands in the API.
        written_at: when the operator last changed it.
        now: time of day.
    """
    wanted, present = _document(status), _present(status, observed)
    if wanted == present:
        return Writing()
    if _meaning(wanted) != _meaning(present) or written_at is None:
        return Writing(now=wanted)
    age_s = (now - written_at).total_seconds()
    # A negative age means that the clocks differ: better one write too many than none for long.
    if not 0 <= age_s < MIN_WRITE_INTERVAL_S:
        return Writing(now=wanted)
    return Writing(due_in_s=MIN_WRITE_INTERVAL_S - age_s)


def _document(status: Status) -> Manifest:
    return status.model_dump(mode="json", exclude_none=True)


def _present(status: Status, observed: Mapping[str, Any]) -> Manifest:
    """Return what is observed in the same form as what is wanted: with all defaults."""
    if not observed:
        return {}
    try:
        return _document(type(status).model_validate(observed))
    except ValidationError:
        # Whatever another wrote there is replaced.
        return {}


def _meaning(status: Mapping[str, Any]) -> dict[str, Any]:
    meaning = {key: value for key, value in status.items() if key not in _NUMBERS}
    # What is said of a condition, an alert or a rollout counts and measures.
    wordy = {field: [{**one, "message": ""} for one in status.get(field, [])] for field in _WORDY}
    return {**meaning, **wordy, "rollout": {**status.get("rollout", {}), "message": "", "since": ""}}
