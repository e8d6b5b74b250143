"""Messages to Slack, and to what speaks as its incoming webhooks do, such as Mattermost or Discord's ``/slack``."""

from typing import Any, Final

from tokenflow_operator.notify.model import Delivery, Notice

_COLORS: Final = {"critical": "danger", "warning": "warning", "info": "#439FE0"}
_OVER: Final = "good"
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""Of Slack's own text format; unescaped, a word such as <!channel> would call everybody."""


def slack_body(delivery: Delivery) -> dict[str, Any]:
    """Return the message: one line, and an attachment for each alert."""
    policy, firing = delivery.policy, len(delivery.firing)
    over = len(delivery.notices) - firing
    counts = [f"{firing} firing"] if firing else []
    counts += [f"{over} over"] if over else []
    return {
        "text": f"TokenFlow, PacingPolicy {policy.namespace}/{policy.name}: {', '.join(counts)}",
        "attachments": [_attachment(notice) for notice in delivery.notices],
    }


def _attachment(notice: Notice) -> dict[str, Any]:
    title = f"{'Over' if notice.over else notice.severity.capitalize()}: {notice.name}"
    text = (notice.message or notice.summary).translate(_ESCAPES)
    return {
        "color": _OVER if notice.over else _COLORS.get(notice.severity, "warning"),
        "title": title,
        "title_link": notice.runbook,
        "text": text,
        "fallback": f"{title}: {text}",
    }
