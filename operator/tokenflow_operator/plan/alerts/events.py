"""The Events of alerts: the same words each time, so that one that comes and goes is told of once in a while."""

from collections.abc import Iterator
from typing import Final

from tokenflow_operator.plan.alerts.definitions import Alert, AlertSeverity
from tokenflow_operator.plan.alerts.evaluation import Evaluation
from tokenflow_operator.plan.alerts.table import ALERTS
from tokenflow_operator.plan.model import EventType, Note

_ACTION: Final = "Watch"
_BY_NAME: Final[dict[str, Alert]] = {alert.name: alert for alert in ALERTS}


def alert_notes(evaluation: Evaluation) -> Iterator[Note]:
    """Yield the Events of what fires from now on, and of what has ended."""
    for began in evaluation.began:
        alert = _BY_NAME[began.name]
        type_ = EventType.NORMAL if alert.severity is AlertSeverity.INFO else EventType.WARNING
        yield Note(type=type_, reason=alert.name, action=_ACTION, message=f"firing: {alert.summary}: {alert.remedy}")
    # One of another release may have left the status by itself.
    for alert in filter(None, (_BY_NAME.get(ended.name) for ended in evaluation.ended)):
        yield Note(type=EventType.NORMAL, reason=alert.name, action=_ACTION, message=f"over: {alert.summary}")
