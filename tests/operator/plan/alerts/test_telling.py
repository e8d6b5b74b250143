"""A receiver is told of what begins and what is over, once, whatever becomes of the operator."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.operator.builders import NOW
from tokenflow_api.pacing_policy import AlertStatus, Notifier, NotifierStatus
from tokenflow_operator.keys import Key
from tokenflow_operator.notify.model import NotifierState, Trouble, TroubleKind
from tokenflow_operator.plan.alerts.memory import remembered
from tokenflow_operator.plan.alerts.telling import Telling, telling

DEMO = Key(kind="PacingPolicy", namespace="default", name="demo")
WELL = NotifierState(settled_at=NOW)
DOWN = AlertStatus(name="HintServiceDown", severity="Critical", since="2025-12-31T23:59:00Z", message="it is away")
MISSING = AlertStatus(name="AgentMissing", severity="Warning", since="2025-12-31T23:58:00Z", message="one node")


def _told(*names: str, ago_s: float) -> dict[str, Any]:
    sent_at = (NOW - timedelta(seconds=ago_s)).isoformat()
    return {"notifiers": [{"name": "ops", "sentAt": sent_at, "alerts": list(names)}]}


def _telling(
    firing: Sequence[AlertStatus] = (),
    *,
    status: dict[str, Any] | None = None,
    state: NotifierState = WELL,
    type_: str = "Slack",
    now: datetime = NOW,
) -> Telling:
    notifier = Notifier.model_validate({"name": "ops", "type": type_, "secretRef": {"name": "hook"}})
    return telling(
        DEMO, notifier, state, firing=firing, memory=remembered(status or {}), docs_url="https://docs.example", now=now
    )


def test_what_begins_is_told_with_all_that_fires() -> None:
    delivery = _telling([DOWN, MISSING], status=_told("AgentMissing", ago_s=60)).delivery
    assert delivery is not None
    assert [(notice.name, notice.over) for notice in delivery.notices] == [
        ("HintServiceDown", False),
        ("AgentMissing", False),
    ]
    assert delivery.notices[0].message == "it is away"
    assert delivery.notices[0].severity == "critical"
    assert delivery.notices[0].runbook == "https://docs.example/alerts.md#hintservicedown"


def test_what_is_over_is_told() -> None:
    before = {**_told("HintServiceDown", ago_s=60), "alerts": [DOWN.model_dump(mode="json")]}
    delivery = _telling([], status=before).delivery
    assert delivery is not None
    (notice,) = delivery.notices
    assert (notice.name, notice.over, notice.since) == ("HintServiceDown", True, DOWN.since)
    assert delivery.firing == ()


def test_what_was_told_is_not_told_again_by_the_next_leader() -> None:
    told = _telling([DOWN], status=_told("HintServiceDown", ago_s=60), state=WELL)
    assert told.delivery is None
    assert told.due_in_s == 600


@pytest.mark.parametrize(("type_", "after_s"), [("Alertmanager", 60), ("Slack", 4 * 3600), ("Webhook", 4 * 3600)])
def test_what_goes_on_is_told_again_now_and_then(type_: str, after_s: float) -> None:
    before = _telling([DOWN], status=_told("HintServiceDown", ago_s=after_s - 1), type_=type_)
    assert before.delivery is None
    assert before.due_in_s == 1
    after = _telling([DOWN], status=_told("HintServiceDown", ago_s=after_s), type_=type_)
    assert after.delivery is not None


def test_changes_in_quick_succession_are_told_in_one() -> None:
    told = _telling([DOWN, MISSING], status=_told("HintServiceDown", ago_s=4))
    assert (told.delivery, told.due_in_s) == (None, 6)


def test_while_a_message_is_under_way_there_is_no_other() -> None:
    assert _telling([DOWN], state=NotifierState(busy=True)).delivery is None


def test_a_receiver_in_trouble_is_tried_again_every_minute() -> None:
    trouble = Trouble(kind=TroubleKind.FAILING, message="it answered 503")
    state = NotifierState(settled_at=NOW, trouble=trouble)
    early = _telling([DOWN], state=state, now=NOW + timedelta(seconds=59))
    assert (early.delivery, early.due_in_s) == (None, 1)
    assert _telling([DOWN], state=state, now=NOW + timedelta(seconds=60)).delivery is not None


def test_a_receiver_is_looked_for_before_there_is_anything_to_tell() -> None:
    first = _telling(state=NotifierState()).delivery
    assert first is not None
    assert first.notices == ()
    assert _telling(state=WELL).delivery is None
    assert _telling(state=WELL, now=NOW + timedelta(seconds=600)).delivery == first


def test_what_was_taken_stands_in_the_status() -> None:
    state = NotifierState(settled_at=NOW, sent_at=NOW, told=("HintServiceDown",))
    told = _telling([DOWN], state=state)
    assert told.status == NotifierStatus(name="ops", sent_at="2026-01-01T00:00:00Z", alerts=["HintServiceDown"])
    assert told.delivery is None


def test_what_an_alertmanager_is_told_every_minute_is_no_news_to_the_status() -> None:
    before = _told("HintServiceDown", ago_s=3600)
    state = NotifierState(settled_at=NOW, sent_at=NOW, told=("HintServiceDown",))
    told = _telling([DOWN], status=before, state=state, type_="Alertmanager")
    assert told.status.sent_at == before["notifiers"][0]["sentAt"]
    assert (told.delivery, told.due_in_s) == (None, 60)


def test_an_alert_of_another_release_is_not_told_of_again_and_again() -> None:
    found = _telling([], status=_told("RetiredAlert", ago_s=60))
    assert found.delivery is None
    assert found.due_in_s > 0
