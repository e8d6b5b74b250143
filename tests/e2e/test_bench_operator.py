"""What the operator's benchmark judges by."""

from typing import Any

import pytest

from e2e.bench.operator.__main__ import FULL
from e2e.bench.operator.golden import remaining
from e2e.bench.operator.population import Population
from e2e.bench.operator.rollout import Course
from e2e.bench.operator.standin import Seen
from tests.operator.builders import INSTALLATION, plan_of, policy, policy_snapshot
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kind

POLICY = Key("PacingPolicy", "default", "demo")


def pod(name: str, node: str, *, image: str = "old", ready: bool = True, owner: str = "pp.demo") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"tokenflow.io/owner": owner}},
        "spec": {"nodeName": node, "containers": [{"image": image}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def test_the_full_population_is_the_one_that_is_promised() -> None:
    population = FULL.population
    policies = list(population.pacing_policies())
    assert (population.nodes, len(policies)) == (1000, 200)
    assert sum(len(one["spec"]["tenants"]) for one in policies) == 2000
    for one in policies:
        PacingPolicySpec.model_validate(one["spec"])


def test_no_two_policies_of_a_team_claim_the_same() -> None:
    policies = list(Population(nodes=1, teams=1, policies=20, tenants=10).pacing_policies())
    tenants = [tenant["name"] for one in policies for tenant in one["spec"]["tenants"]]
    urls = [upstream["url"] for one in policies for upstream in one["spec"]["gateway"]["upstreams"]]
    assert (len(set(tenants)), len(set(urls))) == (200, 20)
    assert sum(bool(one["spec"]["telemetry"]["agents"]) for one in policies) == 8


def test_a_course_knows_the_most_nodes_without_an_agent_and_who_was_tried() -> None:
    course = Course(image="new")
    course.look([pod("a", "n1"), pod("b", "n2"), pod("c", "n3")], nodes=3)
    course.look([pod("d", "n1", image="new", ready=False), pod("b", "n2")], nodes=3)
    course.look([pod("d", "n1", image="new"), pod("b", "n2"), pod("e", "", image="new", ready=False)], nodes=3)
    assert (course.missing, course.tried) == (2, {"n1"})


class Api:
    """An API server with what it is given."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = objects

    async def list(self, kind: Kind, **_: str) -> tuple[list[dict[str, Any]], str]:
        return [one for one in self.objects if one["kind"] == kind.kind], "1"


def judged(generation: int = 1, *, ready: str = "True") -> dict[str, Any]:
    resource = policy()
    return {
        "apiVersion": "tokenflow.io/v1alpha1",
        "kind": "PacingPolicy",
        "metadata": {
            "namespace": "default",
            "name": "demo",
            "uid": resource.uid,
            "generation": 1,
            "creationTimestamp": resource.created_at,
        },
        "spec": resource.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "status": {"observedGeneration": generation, "conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.fixture
def planned() -> list[dict[str, Any]]:
    return list(plan_of(policy_snapshot(agents=())).apply)


async def test_nothing_remains_where_all_is_as_planned(planned: list[dict[str, Any]]) -> None:
    assert await remaining(Api(judged(), *planned), namespace="default", installation=INSTALLATION) == []


async def test_what_remains_is_said(planned: list[dict[str, Any]]) -> None:
    by_name = {f"{one['kind']}/{one['metadata']['name']}": one for one in planned}
    service, config = by_name.pop("Service/demo-hintsvc"), by_name.pop("ConfigMap/demo-runtime")
    leftover = {**service, "metadata": {**service["metadata"], "name": "old"}}
    changed = {**config, "data": {RUNTIME_KEY: "{}"}}
    api = Api(judged(0, ready="False"), leftover, changed, *by_name.values())
    assert await remaining(api, namespace="default", installation=INSTALLATION) == [
        "Service/demo-hintsvc is missing",
        "Service/old is left over",
        "ConfigMap/demo-runtime is not as planned",
        "PacingPolicy default/demo is not judged at its generation",
        "PacingPolicy default/demo is not ready",
    ]


def test_the_stand_in_speaks_for_ready_replicas(planned: list[dict[str, Any]]) -> None:
    seen = Seen()
    seen.config_map("ADDED", next(one for one in planned if RUNTIME_KEY in one.get("data", {})))
    for name, ready in (("one", True), ("two", True), ("three", False)):
        seen.pod("ADDED", pod(name, "n1", ready=ready))
    seen.pod("DELETED", pod("two", "n1"))
    view = seen.view(seen.configs[POLICY])
    assert ([(one.name, one.generation) for one in view.replicas], view.leader) == ([("one", 1)], "one")
    assert view.snapshot is not None
    assert {hint.tenant for hint in view.snapshot.hints} == {"gold", "free"}
