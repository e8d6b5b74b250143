"""What each notifier must be told now, judged by what it was told last.

A receiver is told when an alert begins and when it is over, and again now and then while one fires. What it has taken
stands in the policy's status: a restart of the operator, or another leader, tells nothing twice, and forgets nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final

from tokenflow_api.pacing_policy import AlertStatus, Notifier, NotifierStatus, NotifierType
from tokenflow_operator.keys import Key
from tokenflow_operator.notify.model import Delivery, Notice, NotifierState
from tokenflow_operator.plan.alerts.definitions import Alert, runbook
from tokenflow_operator.plan.alerts.memory import Memory, moment
from tokenflow_operator.plan.alerts.table import ALERTS
from tokenflow_operator.plan.conditions import timestamp

REPEAT_S: Final[Mapping[NotifierType, float]] = {
    # It forgets an alert that is not repeated, and tells people by an interval of its own.
    NotifierType.ALERTMANAGER: 60.0,
    NotifierType.SLACK: 4 * 3600.0,
    NotifierType.WEBHOOK: 4 * 3600.0,
}
SPACING_S: Final = 10.0
"""Seconds between two messages to one receiver: what changes meanwhile is told in one."""
RETRY_S: Final = 60.0
"""Seconds until a receiver that could not be told is tried again."""
CHECK_S: Final = 600.0
"""Seconds after which it is seen again whether a receiver's URL can be read, though there is nothing to tell."""

_BY_NAME: Final[dict[str, Alert]] = {alert.name: alert for alert in ALERTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """What becomes of one notifier in this pass.

    Attributes:
        status: what it was told last.
        delivery: what to tell it now, if anything.
        due_in_s: seconds until there may be something by time alone.
    """

    status: NotifierStatus
    delivery: Delivery | None = None
    due_in_s: float = inf


def telling(
    policy: Key,
    notifier: Notifier,
    state: NotifierState,
    *,
    firing: Sequence[AlertStatus],
    memory: Memory,
    docs_url: str,
    now: datetime,
) -> Telling:
    """Decide what to tell a notifier.

    Args:
        policy: whose alerts they are.
        notifier: whom to tell.
        state: what this process knows of it.
        firing: the alerts that fire.
        memory: what the status said before this pass.
        docs_url: where the documentation is published.
        now: time of day.
    """
    before = memory.notifiers.get(notifier.name, NotifierStatus(name=notifier.name))
    status = _status(state, before, notifier)
    if state.busy:
        return Telling(status=status)
    # Of an alert of another release there is nothing to tell.
    told = _BY_NAME.keys() & set(status.alerts)
    fires = {alert.name for alert in firing}
    last = state.sent_at or (moment(before.sent_at, now=now) if before.sent_at else None)
    age_s = (now - last).total_seconds() if last else inf
    if told != fires:
        wait_s = SPACING_S - age_s
    elif fires:
        wait_s = REPEAT_S[notifier.type] - age_s
    else:
        wait_s = inf
    settled_s = (now - state.settled_at).total_seconds() if state.settled_at else inf
    if state.trouble is not None:
        wait_s = max(wait_s, RETRY_S - settled_s)
    if wait_s <= 0:
        over = sorted(told - fires)
        notices = (*_firing(firing, docs_url), *_over(over, memory, docs_url))
        return Telling(status=status, delivery=Delivery(policy=policy, notifier=notifier, notices=notices))
    check_s = (CHECK_S if state.trouble is None else RETRY_S) - settled_s
    if check_s <= 0:
        return Telling(status=status, delivery=Delivery(policy=policy, notifier=notifier))
    return Telling(status=status, due_in_s=min(wait_s, check_s))


def _status(state: NotifierState, before: NotifierStatus, notifier: Notifier) -> NotifierStatus:
    if state.sent_at is None:
        return before
    repeated = notifier.type is NotifierType.ALERTMANAGER and set(state.told) == set(before.alerts)
    # What is repeated every minute is not worth a write of the status each time.
    sent_at = before.sent_at if repeated and before.sent_at else timestamp(state.sent_at)
    return NotifierStatus(name=notifier.name, sent_at=sent_at, alerts=sorted(state.told))


def _firing(firing: Sequence[AlertStatus], docs_url: str) -> Iterator[Notice]:
    for status in firing:
        alert = _BY_NAME.get(status.name)
        if alert is not None:
            yield _notice(alert, since=status.since, message=status.message, over=False, docs_url=docs_url)


def _over(names: Sequence[str], memory: Memory, docs_url: str) -> Iterator[Notice]:
    for name in names:
        alert, before = _BY_NAME.get(name), memory.firing.get(name)
        if alert is not None:
            yield _notice(alert, since=before.since if before else "", message="", over=True, docs_url=docs_url)


def _notice(alert: Alert, *, since: str, message: str, over: bool, docs_url: str) -> Notice:
    return Notice(
        name=alert.name,
        severity=alert.severity.lower(),
        since=since,
        over=over,
        summary=alert.summary,
        message=message,
        runbook=runbook(alert.name, docs_url=docs_url),
    )
