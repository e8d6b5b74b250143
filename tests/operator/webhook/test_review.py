"""What the webhook says of a write, given what there is already."""

import dataclasses
from typing import Any

import pytest

from tests.operator.builders import agent, example, node, policy
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.errors import AdmissionRequestError
from tokenflow_operator.keys import Key
from tokenflow_operator.snapshot import Known
from tokenflow_operator.webhook.admission import Request, Verdict, answer, parse
from tokenflow_operator.webhook.review import review

NODES = (node("node1", pool="gpu"), node("node2", pool="gpu"), node("node3", pool="cpu"))


def known(*, policies: tuple[Any, ...] = (), agents: tuple[Any, ...] = (), nodes: Any = NODES) -> Known:
    return Known(policies=policies, agents=agents, nodes=nodes)


def on(pool: str) -> TelemetryAgentSpec:
    return TelemetryAgentSpec.model_validate(example("telemetryagent.yaml") | {"nodeSelector": {"pool": pool}})


def asked(kind: str, *, name: str = "new", before: dict[str, Any] | None = None, **changes: Any) -> Request:
    spec = example(f"{kind.lower()}.yaml") | changes
    metadata = {"name": name, "namespace": "default"}
    return Request(
        uid="u",
        key=Key(kind=kind, namespace="default", name=name),
        after={"metadata": metadata, "spec": spec},
        before=None if before is None else {"metadata": metadata, "spec": example(f"{kind.lower()}.yaml") | before},
    )


def test_an_agent_of_its_own_nodes_is_welcome() -> None:
    there = known(agents=(agent(on("gpu")),))
    assert review(asked("TelemetryAgent", nodeSelector={"pool": "cpu"}), there) == Verdict()


def test_an_agent_that_takes_anothers_node_is_refused_and_told_whose() -> None:
    verdict = review(asked("TelemetryAgent", nodeSelector={}), known(agents=(agent(on("gpu")),)))
    assert verdict.refusal == (
        "spec.nodeSelector: TelemetryAgent default/nodes runs agents on node1, node2: change the selector of either so"
        " that they share no node"
    )


def test_an_older_agent_may_not_spread_over_a_younger_one() -> None:
    younger = dataclasses.replace(agent(on("cpu"), name="younger"), created_at="2026-06-01T00:00:00Z")
    request = asked("TelemetryAgent", name="nodes", before={"nodeSelector": {"pool": "gpu"}}, nodeSelector={})
    there = known(agents=(agent(on("gpu")), younger))
    assert "default/younger runs agents on node3" in review(request, there).refusal


def test_where_nodes_cannot_be_read_selectors_must_rule_it_out() -> None:
    there = known(agents=(agent(on("gpu")),), nodes=None)
    assert "on nodes that both may select" in review(asked("TelemetryAgent", nodeSelector={}), there).refusal
    assert not review(asked("TelemetryAgent", nodeSelector={"pool": "cpu"}), there).refusal


def test_a_tenant_of_another_policy_is_refused_an_upstream_only_warned_of() -> None:
    verdict = review(asked("PacingPolicy"), known(policies=(policy(),), agents=(agent(),)))
    assert verdict.refusal.startswith("spec.tenants: ")
    assert "also in default/demo" in verdict.refusal
    tenants = [{**tenant, "name": f"other-{tenant['name']}"} for tenant in example("pacingpolicy.yaml")["tenants"]]
    verdict = review(asked("PacingPolicy", tenants=tenants), known(policies=(policy(),), agents=(agent(),)))
    assert verdict.refusal == ""
    assert any(warning.startswith("spec.gateway.upstreams: ") for warning in verdict.warnings)


def test_an_edit_of_what_is_in_conflict_already_passes_with_a_warning() -> None:
    there = known(policies=(policy(), policy(name="new")), agents=(agent(),))
    verdict = review(asked("PacingPolicy", before={}, mode="Shadow"), there)
    assert verdict.refusal == ""
    assert any(warning.startswith("spec.tenants: ") for warning in verdict.warnings)
    there = known(agents=(agent(), agent(name="new")))
    verdict = review(asked("TelemetryAgent", before={}, interval="2s"), there)
    assert verdict.refusal == ""
    assert any(warning.startswith("spec.nodeSelector: ") for warning in verdict.warnings)


@pytest.mark.parametrize("kind", ["PacingPolicy", "TelemetryAgent"])
def test_nobody_is_kept_from_labels_or_finalizers(kind: str) -> None:
    there = known(policies=(policy(),), agents=(agent(),))
    assert review(asked(kind, before={}), there) == Verdict()
    going = asked(kind)
    going.after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert review(going, there) == Verdict()


def test_what_this_version_cannot_read_is_let_through() -> None:
    verdict = review(asked("PacingPolicy", mode="Tomorrow"), known(policies=(policy(),)))
    assert verdict.refusal == ""
    assert "not checked" in verdict.warnings[0]


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("PacingPolicy", {"failureMode": "Deny"}, "every request is refused while Redis is out of reach"),
        ("PacingPolicy", {"hintService": {"replicas": 1}}, "spec.hintService.replicas"),
        ("PacingPolicy", {}, "there is no TelemetryAgent nodes in this namespace yet"),
        ("TelemetryAgent", {"security": "Privileged"}, "spec.security"),
        ("TelemetryAgent", {"rollout": {"autoRollback": False}}, "spec.rollout.autoRollback"),
    ],
)
def test_what_may_not_be_meant_is_warned_of(kind: str, changes: dict[str, Any], words: str) -> None:
    verdict = review(asked(kind, **changes), known())
    assert verdict.refusal == ""
    assert any(words in warning for warning in verdict.warnings)


def test_a_question_is_read_and_answered_by_its_uid() -> None:
    asks = asked("PacingPolicy")
    request = {"uid": "u", "kind": {"kind": "PacingPolicy"}, "namespace": "default", "object": asks.after}
    assert parse({"request": request}) == asks
    reply = answer(asks, Verdict(refusal="no", warnings=("w" * 1000,) * 20))["response"]
    assert (reply["uid"], reply["allowed"], reply["status"]["message"]) == ("u", False, "no")
    assert sum(map(len, reply["warnings"])) < 4096
    assert answer(asks, Verdict())["response"] == {"uid": "u", "allowed": True}


@pytest.mark.parametrize("document", [None, [], {}, {"request": None}, {"request": {"uid": "u"}}, {"request": []}])
def test_what_is_no_question_is_said_to_be_none(document: Any) -> None:
    with pytest.raises(AdmissionRequestError):
        parse(document)
