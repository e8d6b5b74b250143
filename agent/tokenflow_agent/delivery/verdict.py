"""What a hint service's answer means for a batch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

MAX_RETRY_AFTER_S: Final = 300.0
DENIED_S: Final = 5.0
"""Pause after a refused token: the kubelet renews it, and grants follow a policy by some seconds."""
_DENIED: Final = (401, 403)
_LATER: Final = (408, 429)


class Fate(Enum):
    """What becomes of the batch."""

    TAKEN = auto()
    AGAIN = auto()
    """It is sent again later."""
    REFUSED = auto()
    """Sending it again would not change the answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judged answer.

    Attributes:
        fate: of the batch.
        pause_s: least time until the next attempt.
    """

    fate: Fate
    pause_s: float = 0.0


def judge(status: int, headers: Mapping[str, str], *, now: datetime) -> Verdict:
    """Judge an answer by its status.

    Args:
        status: of HTTP.
        headers: by lower-case name.
        now: this moment, for a ``Retry-After`` that is a date.
    """
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's
        return Verdict(Fate.TAKEN)
    if status in _DENIED:
        return Verdict(Fate.AGAIN, max(DENIED_S, _retry_after_s(headers, now)))
    if 400 <= status < 500 and status not in _LATER:  # noqa: PLR2004 - HTTP's
        return Verdict(Fate.REFUSED)
    return Verdict(Fate.AGAIN, _retry_after_s(headers, now))


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float:
    """Return the pause that a server asks for, at most ``MAX_RETRY_AFTER_S``; 0 where it says nothing usable."""
    words = headers.get("retry-after", "").strip()
    try:
        pause_s = float(words) if words.isdigit() else (_date(words) - now).total_seconds()
    except ValueError:
        return 0.0
    return min(max(pause_s, 0.0), MAX_RETRY_AFTER_S) if math.isfinite(pause_s) else 0.0


def _date(words: str) -> datetime:
    date = parsedate_to_datetime(words)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
