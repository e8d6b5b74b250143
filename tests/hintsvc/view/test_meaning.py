"""When whoever polls the state of the cluster is told of it again."""

import pytest

from tests.hintsvc.serving import config, hint, snapshot
from tokenflow_api.cluster import ClusterView, KeyExpiry, NodeReport, Replica, TenantUsage
from tokenflow_api.hints import Term
from tokenflow_api.telemetry import AgentCost, Signal, SignalState
from tokenflow_hintsvc.view.meaning import entity_tag

NOW_MS = snapshot().at_unix_ms
SIGNAL = Signal(name="TCPRoundTripTime", backend="BTFTracepoint", state=SignalState.ACTIVE)


def node(**changes: object) -> NodeReport:
    fields = {"agent": "default/nodes", "node": "node-1", "at_unix_ms": NOW_MS, "signals": [SIGNAL]}
    return NodeReport.model_validate(fields | changes)


def view(**changes: object) -> ClusterView:
    fields = {
        "leader": "replica-0",
        "term": 1,
        "replicas": [Replica(name="replica-0", generation=3, at_unix_ms=NOW_MS)],
        "nodes": [node()],
        "snapshot": snapshot(),
        "usage": [TenantUsage(tenant="gold", requests_last_minute=1)],
    }
    return ClusterView(**fields | changes)


def tag(**changes: object) -> str:
    return entity_tag(view(**changes), config())


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": [Replica(name="replica-0", generation=3, at_unix_ms=NOW_MS + 1000)]},
        {"nodes": [node(at_unix_ms=NOW_MS - 9000)]},
        {"nodes": [node(cost=AgentCost(cpu_us=9000))]},
        {"snapshot": snapshot(2)},
        {"snapshot": snapshot().model_copy(update={"health": 0.801})},
    ],
)
def test_stamps_versions_and_trembling_numbers_say_nothing_new(changes: dict[str, object]) -> None:
    assert tag(**changes) == tag()


@pytest.mark.parametrize(
    "changes",
    [
        {"leader": ""},
        {"certificate_error": "it holds no tls.key"},
        {"term": 2},
        {"replicas": [Replica(name="replica-0", generation=4, at_unix_ms=NOW_MS)]},
        {"replicas": [Replica(name="replica-0", generation=3, at_unix_ms=NOW_MS, error="too new")]},
        {"nodes": []},
        {"nodes": [node(at_unix_ms=NOW_MS - 11_000)]},
        {"nodes": [node(signals=[SIGNAL.model_copy(update={"state": SignalState.DEGRADED})])]},
        {"nodes": [node(cost=AgentCost(cpu_us=200_000))]},
        {"nodes": [node(cost=AgentCost(events=100, lost=5))]},
        {"snapshot": None},
        {"snapshot": snapshot().model_copy(update={"health": 0.9})},
        {"snapshot": snapshot(1, hint("gold", rate=7.0))},
        {"usage": [TenantUsage(tenant="gold", requests_last_minute=2)]},
        {"certificate_ends_unix_ms": NOW_MS},
        {"keys": [KeyExpiry(tenant="gold", ends_unix_ms=NOW_MS)]},
    ],
)
def test_what_somebody_would_act_upon_is_told(changes: dict[str, object]) -> None:
    assert tag(**changes) != tag()


def test_a_signal_that_moves_towards_its_threshold_is_told_in_tenths() -> None:
    def measured(value: float) -> str:
        term = Term(signal="Backlog", value=value, threshold=80.0, factor=0.9)
        return tag(snapshot=snapshot(1, hint("gold").model_copy(update={"terms": [term]})))

    assert measured(60.0) == measured(61.0)
    assert measured(60.0) != measured(90.0)
