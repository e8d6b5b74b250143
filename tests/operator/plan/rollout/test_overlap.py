"""Which of several TelemetryAgents may run where they meet."""

import dataclasses
from typing import Any

import pytest

from tests.operator.builders import agent, agent_snapshot, condition, node, plan_of, settled_agent
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.plan.rollout import overlap_of
from tokenflow_operator.snapshot import Agent

GPU, CPU = node("gpu", pool="gpu", zone="a"), node("cpu", pool="cpu", zone="a")


def _agent(name: str, *, day: int, namespace: str = "default", **spec: Any) -> Agent:
    made = agent(TelemetryAgentSpec.model_validate(spec), name=name)
    key = dataclasses.replace(made.key, namespace=namespace)
    return dataclasses.replace(made, key=key, created_at=f"2026-01-{day:02}T00:00:00Z")


def test_the_older_one_keeps_the_node_in_whatever_namespace_it_is() -> None:
    older = _agent("older", day=1, namespace="elsewhere")
    younger = _agent("younger", day=2, nodeSelector={"pool": "gpu"})
    agents = (younger, older)
    assert overlap_of(older, agents, (GPU, CPU)) is None
    found = overlap_of(younger, agents, (GPU, CPU))
    assert found is not None
    assert (found.older.key.name, found.nodes) == ("older", ("gpu",))


def test_of_the_same_age_the_first_by_name_keeps_it() -> None:
    one, two = _agent("one", day=1), _agent("two", day=1)
    assert overlap_of(one, (two, one), (GPU,)) is None
    assert overlap_of(two, (two, one), (GPU,)) is not None


def test_one_that_is_refused_is_in_nobodys_way() -> None:
    oldest = _agent("oldest", day=1, nodeSelector={"pool": "gpu"})
    refused = _agent("refused", day=2)
    youngest = _agent("youngest", day=3, nodeSelector={"pool": "cpu"})
    agents = (oldest, refused, youngest)
    assert [overlap_of(one, agents, (GPU, CPU)) is None for one in agents] == [True, False, True]


@pytest.mark.parametrize(
    ("mine", "theirs", "shared"),
    [
        ({"pool": "gpu"}, {"pool": "cpu"}, False),
        ({"pool": "gpu"}, {"zone": "a"}, True),
        ({"pool": "gpu"}, {"zone": "b"}, False),
        ({}, {"pool": "none"}, False),
    ],
)
def test_they_meet_where_a_node_carries_the_labels_of_both(
    mine: dict[str, str], theirs: dict[str, str], shared: bool
) -> None:
    one, two = _agent("one", day=1, nodeSelector=theirs), _agent("two", day=2, nodeSelector=mine)
    assert (overlap_of(two, (one, two), (GPU, CPU)) is not None) is shared


@pytest.mark.parametrize(
    ("mine", "theirs", "refused"),
    [({"pool": "gpu"}, {"pool": "cpu"}, False), ({"pool": "gpu"}, {"zone": "b"}, True), ({}, {"pool": "gpu"}, True)],
)
def test_where_nodes_cannot_be_read_the_selectors_must_rule_it_out(
    mine: dict[str, str], theirs: dict[str, str], refused: bool
) -> None:
    one, two = _agent("one", day=1, nodeSelector=theirs), _agent("two", day=2, nodeSelector=mine)
    assert (overlap_of(two, (one, two), None) is not None) is refused


def test_a_taint_that_one_does_not_tolerate_keeps_them_apart() -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    tainted = {**GPU, "spec": {"taints": [taint]}}
    one = _agent("one", day=1, tolerations=[{"key": "other", "operator": "Exists"}])
    two = _agent("two", day=2, tolerations=[{"key": "gpu", "operator": "Equal", "value": "yes"}])
    assert overlap_of(two, (one, two), (tainted,)) is None
    passing = {**GPU, "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}}
    assert overlap_of(two, (one, two), (passing,)) is not None


def test_who_is_refused_names_the_other_and_runs_nowhere() -> None:
    older = _agent("older", day=1, namespace="elsewhere")
    mine = dataclasses.replace(settled_agent().agent, created_at="2026-01-02T00:00:00Z")
    planned = plan_of(settled_agent(agent=mine, agents=(older, mine)))
    ready = condition(planned, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NodesOverlap")
    assert "TelemetryAgent elsewhere/older, which is older, runs agents on node1:" in ready["message"]
    assert {child["kind"] for child in planned.delete} == {"ServiceAccount", "ConfigMap", "DaemonSet"}
    assert planned.apply == ()


def test_alone_it_is_not_in_its_own_way() -> None:
    assert plan_of(agent_snapshot(nodes=(GPU,))).apply
