"""From a snapshot to what the status, Events and receivers are told, through the whole plan."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.operator.builders import NOW, agent_snapshot, condition, example, plan_of, policy, settled_policy
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.kube.objects import ref_of
from tokenflow_operator.notify.model import NotifierState, Trouble, TroubleKind
from tokenflow_operator.plan import EventType, Plan
from tokenflow_operator.plan.reasons import Reason
from tokenflow_operator.snapshot import Cluster, HintServiceState, PolicySnapshot

AWAY = HintServiceState(error="it hung up")
ALERTS = {"alerts": {"for": "30s", "notifiers": [{"name": "ops", "type": "Slack", "secretRef": {"name": "hook"}}]}}
NOTIFYING = policy(PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | ALERTS))
GRANT = (
    "kubectl -n default create role tokenflow-read-hook --verb=get --resource=secrets --resource-name=hook"
    " && kubectl -n default create rolebinding tokenflow-read-hook --role=tokenflow-read-hook"
    " --serviceaccount=tokenflow-system:tokenflow-operator"
)
SERVED = frozenset({"PrometheusRule", "ServiceMonitor", "PodMonitor"})


def _after(snapshot: PolicySnapshot, planned: Plan, *, now: datetime, **changes: Any) -> PolicySnapshot:
    """Return the snapshot once the status was written, with what has changed since."""
    status = planned.status if planned.status is not None else snapshot.policy.status
    resource = dataclasses.replace(snapshot.policy, status=status, status_written_at=now)
    return dataclasses.replace(snapshot, policy=resource, **changes)


def _events(planned: Plan) -> list[tuple[str, str]]:
    return [(note.type, note.reason) for note in planned.notes if note.action == "Watch"]


def test_an_alert_runs_its_course_with_nothing_but_the_status_to_remember_by() -> None:
    snapshot = settled_policy(hint_service=AWAY)
    first = plan_of(snapshot)
    assert first.status is not None
    assert first.status["pendingAlerts"] == [{"name": "HintServiceDown", "since": "2026-01-01T00:00:00Z"}]
    assert (first.status["alerts"], first.status["firingAlerts"]) == ([], 0)
    assert first.requeue_after_s is not None
    assert first.requeue_after_s <= 30.0
    assert _events(first) == []

    at = NOW + timedelta(seconds=30)
    snapshot = _after(snapshot, first, now=NOW)
    second = plan_of(snapshot, now=at)
    assert second.status is not None
    (alert,) = second.status["alerts"]
    assert (alert["name"], alert["since"], second.status["firingAlerts"]) == (
        "HintServiceDown",
        "2026-01-01T00:00:00Z",
        1,
    )
    assert "it hung up" in alert["message"]
    assert second.status["pendingAlerts"] == []
    assert _events(second) == [(EventType.WARNING, "HintServiceDown")]

    snapshot = _after(snapshot, second, now=at)
    third = plan_of(snapshot, now=at + timedelta(seconds=60))
    assert _events(third) == []

    snapshot = _after(snapshot, third, now=at, hint_service=settled_policy().hint_service)
    gone_at = at + timedelta(seconds=70)
    fourth = plan_of(snapshot, now=gone_at)
    assert fourth.status is not None
    assert fourth.status["firingAlerts"] == 1
    fifth = plan_of(_after(snapshot, fourth, now=gone_at), now=gone_at + timedelta(seconds=30))
    assert fifth.status is not None
    assert fifth.status["alerts"] == []
    assert _events(fifth) == [(EventType.NORMAL, "HintServiceDown")]


def test_what_is_not_known_yet_changes_no_alert() -> None:
    alert = {"name": "HintServiceDown", "severity": "Critical", "since": "2025-12-31T00:00:00Z", "message": "x"}
    firing = policy(alerts=[alert], firingAlerts=1)
    planned = plan_of(settled_policy(firing, hint_service=HintServiceState(pending=True)))
    assert planned.status is None
    assert _events(planned) == []


def test_other_words_for_the_same_alert_are_no_news() -> None:
    alert = {"name": "HintServiceDown", "severity": "Critical", "since": "2025-12-31T00:00:00Z", "message": "x"}
    snapshot = settled_policy(policy(alerts=[alert], firingAlerts=1), hint_service=AWAY)
    written = _after(snapshot, plan_of(snapshot), now=NOW)
    other_words = dataclasses.replace(written, hint_service=HintServiceState(error="no route to host"))
    assert plan_of(other_words, now=NOW + timedelta(seconds=1)).status is None


def test_a_receiver_is_told_what_the_status_says() -> None:
    alert = {"name": "HintServiceDown", "severity": "Critical", "since": "2025-12-31T00:00:00Z", "message": "x"}
    resource = dataclasses.replace(NOTIFYING, status={"alerts": [alert], "firingAlerts": 1})
    snapshot = settled_policy(resource, hint_service=AWAY)
    (delivery,) = plan_of(snapshot).deliveries
    assert (delivery.policy, delivery.notifier.name) == (resource.key, "ops")
    assert [notice.name for notice in delivery.notices] == ["HintServiceDown"]
    told = NotifierState(settled_at=NOW, sent_at=NOW, told=delivery.firing)
    planned = plan_of(dataclasses.replace(snapshot, notifiers={"ops": told}))
    assert planned.deliveries == ()
    assert planned.status is not None
    assert planned.status["notifiers"] == [
        {"name": "ops", "sentAt": "2026-01-01T00:00:00Z", "alerts": ["HintServiceDown"]}
    ]


def test_a_policy_without_notifiers_tells_nobody() -> None:
    assert plan_of(settled_policy(hint_service=AWAY)).deliveries == ()


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        (
            TroubleKind.FORBIDDEN,
            Reason.NOTIFIER_SECRET_UNREADABLE,
            GRANT,
        ),
        (TroubleKind.UNUSABLE, Reason.NOTIFIER_SECRET_UNREADABLE, "write an http or https URL into its key url"),
        (TroubleKind.FAILING, Reason.NOTIFIER_FAILING, "notifier ops: it answered 503: see whether"),
    ],
)
def test_a_notifier_in_trouble_degrades_the_policy(kind: TroubleKind, reason: Reason, words: str) -> None:
    trouble = NotifierState(settled_at=NOW, trouble=Trouble(kind=kind, message="it answered 503"))
    planned = plan_of(settled_policy(NOTIFYING, notifiers={"ops": trouble}))
    assert (condition(planned, "Degraded")["status"], condition(planned, "Degraded")["reason"]) == ("True", reason)
    assert words in condition(planned, "Degraded")["message"]
    assert condition(planned, "Ready")["status"] == "True"


def test_rules_move_to_the_form_that_is_served_and_back() -> None:
    snapshot = settled_policy()
    served = plan_of(dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, served=SERVED)))
    assert {str(ref_of(each)) for each in served.apply} == {"PrometheusRule/demo-alerts", "ServiceMonitor/demo-metrics"}
    assert {str(ref_of(each)) for each in served.delete} == {"ConfigMap/demo-alerts"}


def test_agents_are_scraped_where_monitors_are_served() -> None:
    rendered = plan_of(agent_snapshot(cluster=Cluster(children={}, served=SERVED))).apply
    (monitor,) = [each for each in rendered if each["kind"] == "PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    (daemon_set,) = [each for each in rendered if each["kind"] == "DaemonSet"]
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    assert selected <= daemon_set["spec"]["template"]["metadata"]["labels"].items()
    assert monitor["metadata"]["name"] == "nodes-agent"


def test_both_services_are_scraped_and_no_other() -> None:
    rendered = plan_of(dataclasses.replace(settled_policy(), cluster=Cluster(children={}, served=SERVED))).apply
    (monitor,) = [each for each in rendered if each["kind"] == "ServiceMonitor"]
    selector = monitor["spec"]["selector"]
    (expression,) = selector["matchExpressions"]

    def selected(labels: dict[str, str]) -> bool:
        return selector["matchLabels"].items() <= labels.items() and labels[expression["key"]] in expression["values"]

    services = [each for each in rendered if each["kind"] == "Service"]
    names = {each["metadata"]["name"] for each in services if selected(each["metadata"]["labels"])}
    assert names == {"demo-hintsvc", "demo-gateway"}
    ports = {port["name"] for each in services if each["metadata"]["name"] in names for port in each["spec"]["ports"]}
    assert monitor["spec"]["endpoints"][0]["port"] in ports
