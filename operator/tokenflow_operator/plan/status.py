"""Whether a status is worth a write.

A status that changes its meaning is written at once; mere numbers move all the time and are
written at most every few seconds, by the API server's record of the last write.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from tokenflow_api.pacing_policy import PacingPolicyStatus
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.kube.objects import Manifest

MIN_WRITE_INTERVAL_S: Final = 5.0
_NUMBERS: Final = frozenset({"healthPercent", "tokensPerSecond", "tenants"})
"""Fields that may wait. All others tell of conditions, generations, replicas or nodes."""

Status = PacingPolicyStatus | TelemetryAgentStatus


def status_to_write(
    status: Status, *, observed: Mapping[str, Any], written_at: datetime | None, now: datetime
) -> Manifest | None:
    """Return the status to write now, or nothing.

    Args:
        status: what is to be said.
        observed: what is said at present, as it stands in the API.
        written_at: when the operator last changed it.
        now: time of day.
    """
    wanted, present = _document(status), _present(status, observed)
    if wanted == present:
        return None
    if _meaning(wanted) != _meaning(present) or written_at is None:
        return wanted
    age_s = (now - written_at).total_seconds()
    # A negative age means that the clocks differ: better one write too many than none for long.
    return None if 0 <= age_s < MIN_WRITE_INTERVAL_S else wanted


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
    # What is said of an alert names the present value.
    alerts = [{**alert, "message": ""} for alert in status.get("alerts", [])]
    return {**meaning, "alerts": alerts}
