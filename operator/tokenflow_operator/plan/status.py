"""Whether a status is worth a write.

A status that changes its meaning is written at once; mere numbers move all the time and are
written at most every few seconds, by the API server's record of the last write.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tokenflow_operator.kube.objects import Manifest

MIN_WRITE_INTERVAL_S: Final = 5.0
_NUMBERS: Final = frozenset({"healthPercent", "tokensPerSecond", "tenants"})
"""Fields that may wait. All others tell of conditions, generations, replicas or nodes."""


def status_to_write(
    wanted: Manifest, *, observed: Mapping[str, Any], written_at: datetime | None, now: datetime
) -> Manifest | None:
    """Return the status to write now, or nothing."""
    if wanted == observed:
        return None
    if _meaning(wanted) != _meaning(observed) or written_at is None:
        return wanted
    age_s = (now - written_at).total_seconds()
    # A negative age means that the clocks differ: better one write too many than none for long.
    return None if 0 <= age_s < MIN_WRITE_INTERVAL_S else wanted


def _meaning(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in _NUMBERS}
