"""What each kind of receiver is sent."""

import json
from datetime import UTC, datetime

import pytest

from tokenflow_api.pacing_policy import Notifier, NotifierType
from tokenflow_operator.keys import Key
from tokenflow_operator.notify.message import message
from tokenflow_operator.notify.model import Delivery, Notice

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUNBOOK = "https://docs.example/alerts.md#hintservicedown"
FIRING = Notice(
    name="HintServiceDown",
    severity="critical",
    since="2026-01-01T11:58:00Z",
    over=False,
    summary="no replica answers",
    message="no replica answers: see <!channel> & its pods",
    runbook=RUNBOOK,
)
OVER = Notice(
    name="AgentMissing",
    severity="warning",
    since="",
    over=True,
    summary="a node is not measured",
    message="",
    runbook="x",
)


def _sent(type_: NotifierType, *notices: Notice, url: str = "http://receiver.example/hook") -> tuple[str, object]:
    notifier = Notifier.model_validate({"name": "ops", "type": type_, "secretRef": {"name": "ops"}})
    policy = Key(kind="PacingPolicy", namespace="llm", name="demo")
    sent = message(Delivery(policy=policy, notifier=notifier, notices=notices), url=url, at=AT)
    return sent.url, json.loads(sent.body)


@pytest.mark.parametrize(
    "url",
    ["http://am.example", "http://am.example/", "http://am.example/api/v2/alerts", "http://am.example/api/v2/alerts/"],
)
def test_an_alertmanager_is_found_by_its_base_url_too(url: str) -> None:
    where, _ = _sent(NotifierType.ALERTMANAGER, FIRING, url=url)
    assert where.rstrip("/") == "http://am.example/api/v2/alerts"


def test_an_alertmanager_gets_alerts_that_end_by_themselves() -> None:
    _, (firing, over) = _sent(NotifierType.ALERTMANAGER, FIRING, OVER)
    assert firing == {
        "labels": {"alertname": "HintServiceDown", "severity": "critical", "namespace": "llm", "policy": "demo"},
        "annotations": {
            "summary": "PacingPolicy llm/demo: no replica answers",
            "description": "no replica answers: see <!channel> & its pods",
            "runbook_url": RUNBOOK,
        },
        "startsAt": "2026-01-01T11:58:00Z",
        "endsAt": "2026-01-01T12:05:00+00:00",
        "generatorURL": RUNBOOK,
    }
    assert over["endsAt"] == "2026-01-01T12:00:00+00:00"
    assert "startsAt" not in over


def test_a_webhook_gets_what_alertmanager_sends_to_webhooks() -> None:
    where, document = _sent(NotifierType.WEBHOOK, FIRING, OVER)
    assert where == "http://receiver.example/hook"
    assert isinstance(document, dict)
    assert document.keys() == {
        *("version", "groupKey", "truncatedAlerts", "status", "receiver"),
        *("groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts"),
    }
    assert (document["version"], document["status"], document["receiver"]) == ("4", "firing", "ops")
    assert document["groupLabels"] == {"namespace": "llm", "policy": "demo"}
    firing, over = document["alerts"]
    assert (firing["status"], firing["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
    assert (over["status"], over["endsAt"]) == ("resolved", "2026-01-01T12:00:00+00:00")
    assert len({firing["fingerprint"], over["fingerprint"]}) == 2


def test_a_webhook_learns_when_all_is_over() -> None:
    _, document = _sent(NotifierType.WEBHOOK, OVER)
    assert isinstance(document, dict)
    assert document["status"] == "resolved"


def test_slack_gets_one_message_that_calls_nobody() -> None:
    _, document = _sent(NotifierType.SLACK, FIRING, OVER)
    assert isinstance(document, dict)
    assert document["text"] == "TokenFlow, PacingPolicy llm/demo: 1 firing, 1 over"
    firing, over = document["attachments"]
    assert firing["color"] == "danger"
    assert firing["title"] == "Critical: HintServiceDown"
    assert firing["title_link"] == RUNBOOK
    assert firing["text"] == "no replica answers: see &lt;!channel&gt; &amp; its pods"
    assert (over["color"], over["title"], over["text"]) == ("good", "Over: AgentMissing", "a node is not measured")
