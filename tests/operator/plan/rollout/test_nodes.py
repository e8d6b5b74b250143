"""Where an agent belongs, by the rules of the DaemonSet's controller."""

from typing import Any

import pytest

from tests.operator.builders import node
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.plan.rollout.nodes import belongs_on

TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "belongs"),
    [
        ({}, True),
        ({"nodeSelector": {"pool": "db"}}, True),
        ({"nodeSelector": {"pool": "db", "zone": "a"}}, False),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, False),
        ({"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, True),
        ({"tolerations": [{"operator": "Exists"}]}, True),
        ({"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "db"}]}, True),
        ({"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "web"}]}, False),
        ({"tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]}, False),
        ({"tolerations": [{"key": "another", "operator": "Exists"}]}, False),
    ],
)
def test_labels_and_lasting_taints_decide(spec: dict[str, Any], belongs: bool) -> None:
    made = {**node("db1", pool="db"), "spec": {"taints": [TAINT]}}
    assert belongs_on(TelemetryAgentSpec.model_validate(spec), made) is belongs


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": "dedicated", "effect": "PreferNoSchedule"},
    ],
)
def test_what_passes_or_merely_asks_keeps_no_agent_away(taint: dict[str, str]) -> None:
    spec = TelemetryAgentSpec.model_validate({"tolerations": [{"key": "other", "operator": "Exists"}]})
    assert belongs_on(spec, {**node("one"), "spec": {"taints": [taint]}})


def test_no_agent_belongs_on_a_node_of_another_system() -> None:
    assert not belongs_on(TelemetryAgentSpec(), node("win", **{"kubernetes.io/os": "windows"}))
