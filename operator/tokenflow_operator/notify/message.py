"""One message on the wire."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenflow_api.pacing_policy import NotifierType
from tokenflow_operator.notify.alertmanager import alertmanager_body, alertmanager_url
from tokenflow_operator.notify.model import Delivery
from tokenflow_operator.notify.slack import slack_body
from tokenflow_operator.notify.webhook import webhook_body


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A JSON document, and where to post it."""

    url: str
    body: bytes


def message(delivery: Delivery, *, url: str, at: datetime) -> Message:
    """Return a delivery in the form that its receiver takes.

    Args:
        delivery: what to tell.
        url: of the receiver.
        at: time of day.
    """
    match delivery.notifier.type:
        case NotifierType.ALERTMANAGER:
            return _message(alertmanager_url(url), alertmanager_body(delivery, at=at))
        case NotifierType.WEBHOOK:
            return _message(url, webhook_body(delivery, at=at))
        case NotifierType.SLACK:
            return _message(url, slack_body(delivery))


def _message(url: str, document: Any) -> Message:
    return Message(url=url, body=json.dumps(document).encode())
