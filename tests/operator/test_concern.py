"""Whose plans a change concerns."""

from typing import Any

import pytest

from tokenflow_operator.cache import Cache, Change
from tokenflow_operator.concern import concerned
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kind
from tokenflow_operator.kube.kinds import DEPLOYMENT, NODE, PACING_POLICY, POD, TELEMETRY_AGENT

DEMO, OTHER = (Key(kind="PacingPolicy", namespace="n", name=name) for name in ("demo", "other"))
NODES, EDGE = (Key(kind="TelemetryAgent", namespace="n", name=name) for name in ("nodes", "edge"))


def _object(kind: Kind, name: str, *, labels: dict[str, str] | None = None, **content: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": "1", "labels": labels or {}}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}


def _policy(name: str, *, agents: list[str], tenants: list[str], **content: Any) -> dict[str, Any]:
    spec = {"telemetry": {"agents": [{"name": a} for a in agents]}, "tenants": [{"name": t} for t in tenants]}
    return _object(PACING_POLICY, name, spec=spec, **content)


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    cache.put(PACING_POLICY, _policy("demo", agents=["nodes"], tenants=["gold"]))
    cache.put(PACING_POLICY, _policy("other", agents=["edge"], tenants=["free"]))
    for name in ("nodes", "edge"):
        cache.put(TELEMETRY_AGENT, _object(TELEMETRY_AGENT, name, spec={}))
    return cache


def test_a_childs_change_concerns_its_owner(cache: Cache) -> None:
    deployment = _object(DEPLOYMENT, "x", labels={"tokenflow.io/owner": "pp.demo"})
    assert concerned(Change(kind=DEPLOYMENT, before=None, after=deployment), cache) == {DEMO}


def test_a_label_that_changes_hands_concerns_both(cache: Cache) -> None:
    before, after = (_object(POD, "x", labels={"tokenflow.io/owner": owner}) for owner in ("pp.demo", "ta.nodes"))
    assert concerned(Change(kind=POD, before=before, after=after), cache) == {DEMO, NODES}


def test_what_is_nobodys_concerns_nobody(cache: Cache) -> None:
    assert concerned(Change(kind=POD, before=None, after=_object(POD, "x")), cache) == set()


def test_a_nodes_change_concerns_all_agents(cache: Cache) -> None:
    assert concerned(Change(kind=NODE, before=None, after=_object(NODE, "x")), cache) == {NODES, EDGE}


def test_a_policys_change_concerns_the_agents_that_it_names_and_named(cache: Cache) -> None:
    before, after = (_policy("demo", agents=[agent], tenants=[]) for agent in ("nodes", "edge"))
    assert {DEMO, NODES, EDGE} <= concerned(Change(kind=PACING_POLICY, before=before, after=after), cache)


def test_a_policy_that_comes_concerns_the_others_that_name_its_agents(cache: Cache) -> None:
    # They tell their agents of all policies that these deliver to.
    comes = _policy("comes", agents=["nodes"], tenants=[])
    key = Key(kind="PacingPolicy", namespace="n", name="comes")
    assert concerned(Change(kind=PACING_POLICY, before=None, after=comes), cache) == {key, NODES, DEMO}


def test_a_tenant_that_a_policy_claims_or_gives_up_concerns_who_claims_it_too(cache: Cache) -> None:
    before = _policy("demo", agents=[], tenants=["gold"])
    after = _policy("demo", agents=[], tenants=["gold", "free"])
    assert concerned(Change(kind=PACING_POLICY, before=before, after=after), cache) == {DEMO, OTHER}
    assert concerned(Change(kind=PACING_POLICY, before=after, after=before), cache) == {DEMO, OTHER}


def test_a_status_concerns_nobody_else(cache: Cache) -> None:
    before = _policy("demo", agents=["nodes"], tenants=["gold", "free"])
    after = {**before, "status": {"healthPercent": 50}}
    assert concerned(Change(kind=PACING_POLICY, before=before, after=after), cache) == {DEMO}


def test_an_agents_change_concerns_the_policies_that_name_it_and_the_other_agents(cache: Cache) -> None:
    agent = _object(TELEMETRY_AGENT, "nodes", spec={"interval": "2s"})
    assert concerned(Change(kind=TELEMETRY_AGENT, before=None, after=agent), cache) == {NODES, EDGE, DEMO}
