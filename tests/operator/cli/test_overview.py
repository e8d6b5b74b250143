"""The tables, and what is said of resources that are not well."""

from tests.operator.cli import manifests
from tokenflow_operator.cli.overview import advice, details, summary
from tokenflow_operator.cli.resources import seen


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_each_resource_has_a_row() -> None:
    resources = [seen(manifests.policy()), seen(manifests.agent())]
    text = summary(resources, now=manifests.NOW)
    header, policy, _, _, agent = lines(text)
    assert header == ["POLICY", "READY", "REASON", "MODE", "HEALTH", "TOKENS/S", "SERVING", "ALERTS", "AGE"]
    assert policy == ["default/demo", "True", "Serving", "Enforce", "100%", "80", "3/3", "0", "24h"]
    assert agent[:3] == ["default/nodes", "True", "Measuring"]
    assert advice(resources) == ""


def test_a_resource_that_nobody_has_looked_at_has_a_row_too() -> None:
    fresh = {**manifests.policy(), "status": {}}
    assert lines(summary([seen(fresh)], now=manifests.NOW))[1] == [
        *("default/demo", "Unknown", "-", "Enforce", "-", "-", "0/3", "0", "24h")
    ]
    assert "see whether one runs: kubectl get deployments -A" in advice([seen(fresh)])


def test_details_show_each_tenant_with_its_rate_and_use() -> None:
    tenant = {"name": "gold", "tokensPerSecond": 40, "healthPercent": 90, "activeStreams": 3, "state": "Congested"}
    used = {"requestsLastMinute": 12, "tokensLastMinute": 3400}
    rows = lines(details([seen(manifests.policy(tenants=[tenant | used]))]))
    assert rows[1] == ["default/demo", "gold", "Congested", "40", "90%", "3", "12", "3400"]


def test_what_is_wrong_is_told_with_what_to_do() -> None:
    ready = manifests.condition("Ready", "False", "HintServiceUnreachable", "no answer: see the logs")
    degraded = manifests.condition("Degraded", "True", "NoLeader", "no replica leads: see Redis")
    alert = {"name": "HealthLow", "severity": "Warning", "since": "2026-01-01T00:00:00Z", "message": "see the nodes"}
    text = advice([seen(manifests.policy(conditions=[ready, degraded], alerts=[alert]))])
    assert text.splitlines() == [
        "PacingPolicy default/demo",
        "  not ready: HintServiceUnreachable: no answer: see the logs",
        "  degraded: NoLeader: no replica leads: see Redis",
        "  alert HealthLow (Warning, since 2026-01-01T00:00:00Z): see the nodes",
    ]


def test_the_same_words_are_not_said_twice() -> None:
    words = "image is absent: name one that exists"
    conditions = [
        manifests.condition("Ready", "False", "ImagePullFailed", words),
        manifests.condition("Degraded", "True", "ImagePullFailed", words),
    ]
    assert len(seen(manifests.policy(conditions=conditions)).complaints) == 1


def test_what_follows_the_same_words_does_not_go_by_their_reason() -> None:
    conditions = [
        manifests.condition("Ready", "False", "ImagePullFailed", "image is absent"),
        manifests.condition("Degraded", "True", "ImagePullFailed", "image is absent; no agent is called nodes"),
    ]
    assert seen(manifests.policy(conditions=conditions)).complaints == (
        "not ready: ImagePullFailed: image is absent",
        "degraded: no agent is called nodes",
    )


def test_an_edit_that_the_operator_has_not_seen_is_not_well() -> None:
    edited = manifests.policy()
    edited["metadata"]["generation"] = 2
    assert "has seen generation 1, not yet 2" in seen(edited).complaints[0]


def test_a_newer_release_may_add_to_the_status() -> None:
    assert seen(manifests.policy(unheardOf={"a": 1})).complaints == ()
