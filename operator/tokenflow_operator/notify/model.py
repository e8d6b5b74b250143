"""What a receiver is to be told, and what is known of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tokenflow_api.pacing_policy import Notifier
from tokenflow_operator.keys import Key

URL_KEY: Final = "url"
"""Where a notifier's Secret holds the URL of its receiver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One alert, as a receiver is told of it.

    Attributes:
        severity: ``critical``, ``warning`` or ``info``.
        since: since when it fires, RFC 3339; empty where that is no longer known.
        over: whether it has ended.
        summary: what is wrong, in words that hold whatever the numbers are.
        message: what is wrong now, and what to do; empty where it is over.
        runbook: URL of the page about it.
    """

    name: str
    severity: str
    since: str
    over: bool
    summary: str
    message: str
    runbook: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message to one receiver: all that a policy has to tell it, those that fire first.

    Without notices nothing is sent: it is only seen whether the receiver's URL can be read.
    """

    policy: Key
    notifier: Notifier
    notices: tuple[Notice, ...] = ()

    @property
    def firing(self) -> tuple[str, ...]:
        """Names of the alerts that the receiver then knows to be firing."""
        return tuple(notice.name for notice in self.notices if not notice.over)


class TroubleKind(StrEnum):
    """What is wrong with a notifier."""

    FORBIDDEN = "Forbidden"
    """The operator may not read its Secret."""
    UNUSABLE = "Unusable"
    """Its Secret does not exist, or holds no URL."""
    FAILING = "Failing"
    """The receiver did not take the message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why a receiver could not be told. The message never holds its URL, which may be a secret."""

    kind: TroubleKind
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NotifierState:
    """What this process knows of a notifier.

    Attributes:
        busy: whether a delivery waits or is under way.
        settled_at: when the last one ended, well or not; ``None`` before the first.
        trouble: why it failed, if it did.
        sent_at: when a message was last taken.
        told: the alerts that were then said to be firing.
    """

    busy: bool = False
    settled_at: datetime | None = None
    trouble: Trouble | None = None
    sent_at: datetime | None = None
    told: tuple[str, ...] = ()
