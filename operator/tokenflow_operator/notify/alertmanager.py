"""Messages to an Alertmanager: the body of POST /api/v2/alerts of its OpenAPI specification."""

from datetime import datetime, timedelta
from typing import Any, Final

from tokenflow_operator.notify.labels import annotations, labels
from tokenflow_operator.notify.model import Delivery, Notice

PATH: Final = "/api/v2/alerts"
LIFETIME: Final = timedelta(minutes=5)
"""How long an Alertmanager takes an alert for firing that nobody repeats, such as when the operator is gone."""


def alertmanager_body(delivery: Delivery, *, at: datetime) -> list[dict[str, Any]]:
    """Return the alerts. One that it is told of again is the same alert, so repeating does no harm."""
    return [_alert(notice, delivery, at=at) for notice in delivery.notices]


def alertmanager_url(url: str) -> str:
    """Return where alerts are posted to, given the Alertmanager's base URL or that very address."""
    return url if url.rstrip("/").endswith(PATH) else f"{url.rstrip('/')}{PATH}"


def _alert(notice: Notice, delivery: Delivery, *, at: datetime) -> dict[str, Any]:
    return {
        "labels": labels(notice, delivery.policy),
        "annotations": annotations(notice, delivery.policy),
        **({"startsAt": notice.since} if notice.since else {}),
        "endsAt": (at if notice.over else at + LIFETIME).isoformat(),
        "generatorURL": notice.runbook,
    }
