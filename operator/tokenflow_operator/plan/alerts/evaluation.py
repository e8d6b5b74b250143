"""When an alert fires, and when it ends, as the operator itself evaluates it.

An alert is pending from the moment at which its cause is seen, fires once that has lasted for ``alerts.for``, and ends
once the cause has been gone for a while: it may come back within that time without anybody being told. All of it is
remembered in the status, so that a restart of the operator changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final

from tokenflow_api.pacing_policy import AlertStatus, PendingAlert
from tokenflow_operator.plan.alerts.definitions import Alert, AlertName
from tokenflow_operator.plan.alerts.memory import Memory, moment, rounded_up
from tokenflow_operator.plan.alerts.table import ALERTS

CLEAR_S: Final = 30.0
"""Seconds for which the cause must be gone before an alert ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The alerts of one pass.

    Attributes:
        firing: those that fire, the gravest first.
        pending: those whose cause has not lasted yet.
        began: those that fire from this pass on.
        ended: those that fired until this pass.
        due_in_s: seconds until one fires or ends if nothing else changes; infinite where none will.
    """

    firing: tuple[AlertStatus, ...] = ()
    pending: tuple[PendingAlert, ...] = ()
    began: tuple[AlertStatus, ...] = ()
    ended: tuple[AlertStatus, ...] = ()
    due_in_s: float = inf


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fires:
    alert: AlertStatus
    due_in_s: float = inf


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pends:
    alert: PendingAlert
    due_in_s: float


def evaluate(seen: Mapping[AlertName, str], memory: Memory, *, for_s: float, now: datetime) -> Evaluation:
    """Evaluate all alerts.

    Args:
        seen: the alerts whose causes are there, with the words for each.
        memory: what was last said.
        for_s: how long a cause must last.
        now: time of day.
    """
    states = list(_states(seen, memory, for_s=for_s, now=now))
    firing = tuple(state.alert for state in states if isinstance(state, _Fires))
    names = {alert.name for alert in firing}
    return Evaluation(
        firing=firing,
        pending=tuple(state.alert for state in states if isinstance(state, _Pends)),
        began=tuple(alert for alert in firing if alert.name not in memory.firing),
        ended=tuple(alert for name, alert in memory.firing.items() if name not in names),
        due_in_s=min((state.due_in_s for state in states), default=inf),
    )


def _states(seen: Mapping[AlertName, str], memory: Memory, *, for_s: float, now: datetime) -> Iterator[_Fires | _Pends]:
    for alert in ALERTS:
        message, before = seen.get(alert.name), memory.firing.get(alert.name)
        if message is not None:
            yield _present(alert, message, before, memory.pending.get(alert.name), for_s=for_s, now=now)
        elif before is not None:
            state = _gone(before, now=now)
            if state is not None:
                yield state


def _present(
    alert: Alert,
    message: str,
    before: AlertStatus | None,
    pending: PendingAlert | None,
    *,
    for_s: float,
    now: datetime,
) -> _Fires | _Pends:
    if before is not None:
        return _Fires(alert=before.model_copy(update={"message": message, "clear_since": ""}))
    since = pending.since if pending is not None else rounded_up(now)
    left_s = for_s - _age_s(since, now=now)
    if left_s > 0:
        return _Pends(alert=PendingAlert(name=alert.name, since=since), due_in_s=left_s)
    return _Fires(alert=AlertStatus(name=alert.name, severity=alert.severity, since=since, message=message))


def _gone(before: AlertStatus, *, now: datetime) -> _Fires | None:
    since = before.clear_since or rounded_up(now)
    left_s = CLEAR_S - _age_s(since, now=now)
    if left_s <= 0:
        return None
    return _Fires(alert=before.model_copy(update={"clear_since": since}), due_in_s=left_s)


def _age_s(since: str, *, now: datetime) -> float:
    return (now - moment(since, now=now)).total_seconds()
