"""Messages to a webhook: a document as Alertmanager's own webhook receivers get it (version 4)."""

import hashlib
import json
from datetime import datetime
from typing import Any, Final

from tokenflow_operator.notify.labels import annotations, group_labels, labels
from tokenflow_operator.notify.model import Delivery, Notice

_NEVER: Final = "0001-01-01T00:00:00Z"
"""A time that is not known, as Alertmanager writes it."""


def webhook_body(delivery: Delivery, *, at: datetime) -> dict[str, Any]:
    """Return the document."""
    common = group_labels(delivery.policy)
    return {
        "version": "4",
        "groupKey": f'{{}}:{{namespace="{delivery.policy.namespace}", policy="{delivery.policy.name}"}}',
        "truncatedAlerts": 0,
        "status": "firing" if delivery.firing else "resolved",
        "receiver": delivery.notifier.name,
        "groupLabels": common,
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [_alert(notice, delivery, at=at) for notice in delivery.notices],
    }


def _alert(notice: Notice, delivery: Delivery, *, at: datetime) -> dict[str, Any]:
    identity = labels(notice, delivery.policy)
    return {
        "status": "resolved" if notice.over else "firing",
        "labels": identity,
        "annotations": annotations(notice, delivery.policy),
        "startsAt": notice.since or _NEVER,
        "endsAt": at.isoformat() if notice.over else _NEVER,
        "generatorURL": notice.runbook,
        "fingerprint": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16],
    }
