"""What the operator sees of each alert's cause."""

import dataclasses
from typing import Any

import pytest

from tests.operator.builders import NOW, NOW_MS, agent, example, hint, policy, settled_policy, view
from tokenflow_api.cluster import KeyExpiry, NodeReport, TenantUsage
from tokenflow_api.hints import ModelReport, NodeHealth, Term
from tokenflow_api.modes import ModelMode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_operator.plan.alerts.definitions import AlertName
from tokenflow_operator.plan.alerts.sights import LEFT_TO_PROMETHEUS
from tokenflow_operator.plan.alerts.sights import seen as seen_at
from tokenflow_operator.snapshot import HintServiceState, PolicySnapshot, Silence


def seen(snapshot: PolicySnapshot) -> dict[AlertName, str]:
    return seen_at(snapshot, now=NOW)


def _saying(**snapshot: Any) -> PolicySnapshot:
    said = view()
    assert said.snapshot is not None
    said = said.model_copy(update={"snapshot": said.snapshot.model_copy(update=snapshot)})
    return settled_policy(hint_service=HintServiceState(view=said))


def _with_term(signal: str, value: float | None, threshold: float, *, of: str = "default/nodes") -> PolicySnapshot:
    term = Term(signal=signal, value=value, threshold=threshold, factor=0.9)
    return _saying(nodes=[NodeHealth(agent=of, node="node1", health=0.9, terms=[term])])


def _with_view(**changes: Any) -> PolicySnapshot:
    return settled_policy(hint_service=HintServiceState(view=view().model_copy(update=changes)))


def _with_agent(**status: Any) -> PolicySnapshot:
    return settled_policy(agents=(agent(**status),))


def _without(component: str) -> PolicySnapshot:
    snapshot = settled_policy()
    pods = tuple(
        p for p in snapshot.cluster.pods if p["metadata"]["labels"]["app.kubernetes.io/component"] != component
    )
    return dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, pods=pods))


def _used(**usage: int) -> PolicySnapshot:
    return _with_view(usage=[TenantUsage(tenant="gold", **usage)])


def _signals(state: SignalState, *, of: str = "default/nodes") -> list[NodeReport]:
    signals = [Signal(name="TLSLatency", state=state, reason="TooManyLibraries")]
    return [NodeReport(agent=of, node="node1", at_unix_ms=NOW_MS, signals=signals)]


def _losing(ratio: float) -> PolicySnapshot:
    path = hint("gold", path="llama/192.0.2.0/24")
    return _saying(
        hints=[path.model_copy(update={"signals": path.signals.model_copy(update={"retransmit_ratio": ratio})})]
    )


DAY_MS = 86_400_000
ROLLING = {
    "conditions": [{"type": "Progressing", "status": "True", "lastTransitionTime": "2025-12-31T23:59:00Z"}],
    "desired": 3,
    "ready": 2,
}

CAUSES: dict[AlertName, tuple[PolicySnapshot, str]] = {
    AlertName.HINT_SERVICE_DOWN: (
        settled_policy(hint_service=HintServiceState(error="no replica is ready")),
        "no replica is ready",
    ),
    AlertName.GATEWAY_DOWN: (_without("gateway"), "no replica of the gateway is ready"),
    AlertName.HINT_SERVICE_NO_LEADER: (_with_view(leader=""), "no replica of the hint service computes hints"),
    AlertName.TOKEN_FLOW_HEALTH_LOW: (_saying(health=0.294), "health is 29 %, below 30 %"),
    AlertName.CONFIG_REFUSED: (
        _with_view(replicas=[view().replicas[0].model_copy(update={"error": "schema 9"})]),
        "demo-hintsvc-0: schema 9",
    ),
    AlertName.QUOTA_EXHAUSTED: (_used(tokens_last_minute=200_000), "gold: tokensPerMinute 200000"),
    AlertName.MODEL_DRIFT: (
        _saying(model=ModelReport(mode=ModelMode.ACTIVE, version="v7", drifted=True)),
        "model v7 no longer fits",
    ),
    AlertName.CERTIFICATE_EXPIRING: (
        _with_view(certificate_ends_unix_ms=NOW_MS + 6 * DAY_MS),
        "the certificate ends at 2026-01-07T00:00:00Z",
    ),
    AlertName.API_KEY_EXPIRING: (
        _with_view(keys=[KeyExpiry(tenant="gold", ends_unix_ms=NOW_MS - DAY_MS)]),
        "an API key of tenant gold ended at 2025-12-31T00:00:00Z",
    ),
    AlertName.GPU_UTILIZATION_HIGH: (_with_term("GPUUtilization", 0.97, 0.9), "node1: 97 %, above 90 %"),
    AlertName.GPU_MEMORY_HIGH: (_with_term("GPUMemory", 0.99, 0.95), "node1: 99 %, above 95 %"),
    AlertName.SOCKET_BACKLOG_HIGH: (_with_term("Backlog", 0.9, 0.8), "node1: 90 %, above 80 %"),
    AlertName.RETRANSMITS_HIGH: (_with_term("Retransmits", 0.05, 0.02), "node1: 5 %, above 2 %"),
    AlertName.AGENT_DEGRADED: (
        _with_view(nodes=_signals(SignalState.DEGRADED)),
        "node1: TLSLatency (TooManyLibraries)",
    ),
    AlertName.AGENT_MISSING: (_with_agent(desired=3, ready=2), "nodes: 1 of 3 nodes have no ready agent"),
}

HARMLESS = {
    "all is well": settled_policy(),
    "the hint service refuses the token": settled_policy(
        hint_service=HintServiceState(error="403", silence=Silence.REFUSED)
    ),
    "health at its threshold": _saying(health=0.3),
    "a signal within its threshold": _with_term("GPUUtilization", 0.9, 0.9),
    "a signal that nobody measures": _with_term("GPUMemory", None, 0.95),
    "a node of another's agent": _with_term("GPUMemory", 0.99, 0.95, of="default/others"),
    "a path within its threshold": _losing(0.02),
    "usage below the limit": _used(tokens_last_minute=199_999, requests_last_minute=599),
    "a certificate that lasts": _with_view(certificate_ends_unix_ms=NOW_MS + 7 * DAY_MS),
    "a key that lasts": _with_view(keys=[KeyExpiry(tenant="gold", ends_unix_ms=NOW_MS + 7 * DAY_MS)]),
    "a signal that is off": _with_view(nodes=_signals(SignalState.OFF)),
    "a tenant that is gone": _with_view(usage=[TenantUsage(tenant="gone", tokens_last_minute=10**9)]),
    "agents that are being replaced": _with_agent(**ROLLING),
    "an old replica that refuses": _with_view(
        replicas=[*view().replicas, view().replicas[0].model_copy(update={"name": "gone", "error": "schema 9"})]
    ),
}


def test_every_alert_is_seen_or_left_to_prometheus() -> None:
    assert set(CAUSES) | LEFT_TO_PROMETHEUS == set(AlertName)
    assert LEFT_TO_PROMETHEUS.isdisjoint(CAUSES)


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_is_seen_and_told_with_what_to_do(name: AlertName) -> None:
    snapshot, words = CAUSES[name]
    found = seen(snapshot)
    assert set(found) == {name}
    assert words in found[name]
    assert len(found[name]) > len(words) + 20


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_harmless_is_no_cause(what: str) -> None:
    assert seen(HARMLESS[what]) == {}


def test_a_path_that_loses_is_named_with_its_tenant() -> None:
    found = seen(_losing(0.034))
    assert "path llama/192.0.2.0/24 of tenant gold: 3.4 %" in found[AlertName.RETRANSMITS_HIGH]


def test_a_hint_service_that_answers_without_redis_is_not_down() -> None:
    found = seen(settled_policy(hint_service=HintServiceState(error="503 Redis: timeout", silence=Silence.FAILING)))
    assert set(found) == {AlertName.HINT_SERVICE_NO_LEADER}
    assert "503 Redis: timeout" in found[AlertName.HINT_SERVICE_NO_LEADER]


def test_a_hint_service_whose_certificate_has_ended_is_down() -> None:
    state = HintServiceState(error="certificate has expired", silence=Silence.UNTRUSTED)
    found = seen(settled_policy(hint_service=state))
    assert set(found) == {AlertName.HINT_SERVICE_DOWN}
    words = "the hint service shows a certificate that is not believed: certificate has expired: "
    assert found[AlertName.HINT_SERVICE_DOWN].startswith(words)


def test_an_agent_that_sends_nothing_is_missing() -> None:
    found = seen(_with_view(nodes=[]))
    assert "TelemetryAgent nodes sends nothing" in found[AlertName.AGENT_MISSING]


def test_what_nobody_computes_any_more_says_nothing_of_the_present() -> None:
    said = _saying(health=0.1).hint_service.view
    assert said is not None
    snapshot = settled_policy(hint_service=HintServiceState(view=said.model_copy(update={"leader": ""})))
    assert set(seen(snapshot)) == {AlertName.HINT_SERVICE_NO_LEADER}


def test_a_quota_that_is_not_enforced_is_not_exhausted() -> None:
    shadow = policy(PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | {"mode": "Shadow"}))
    usage = view().model_copy(update={"usage": [TenantUsage(tenant="gold", tokens_last_minute=10**9)]})
    assert seen(settled_policy(shadow, hint_service=HintServiceState(view=usage))) == {}


def test_of_many_the_first_are_named() -> None:
    term = Term(signal="GPUMemory", value=0.99, threshold=0.95, factor=0.9)
    nodes = [NodeHealth(agent="default/nodes", node=f"node{i}", health=0.9, terms=[term]) for i in range(9)]
    words = seen(_saying(nodes=nodes))[AlertName.GPU_MEMORY_HIGH]
    assert "node2" in words
    assert "node3" not in words
    assert "and 6 more" in words
