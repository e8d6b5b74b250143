import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.builders import NOW, condition, example, plan_of, policy, policy_snapshot, settled_policy
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.kube.kinds import HINT_REQUESTS
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan.autoscaling import hintsvc_replicas
from tokenflow_operator.snapshot import Cluster, Policy, PolicySnapshot

DEPLOYMENT = ObjectRef("Deployment", "demo-hintsvc")
AUTOSCALER = ObjectRef("HorizontalPodAutoscaler", "demo-hintsvc")


def scaling(*, least: int = 3, most: int | None = 10) -> Policy:
    autoscaling = {"autoscaling": {"maxReplicas": most}} if most else {}
    document = example("pacingpolicy.yaml") | {"hintService": {"replicas": least, **autoscaling}}
    return policy(PacingPolicySpec.model_validate(document))


def scaled(snapshot: PolicySnapshot, replicas: int, /, **status: Any) -> PolicySnapshot:
    """Return the snapshot after an autoscaler set the number of replicas, with the Deployment's status."""
    children = dict(snapshot.cluster.children)
    deployment = children[DEPLOYMENT]
    children[DEPLOYMENT] = {
        **deployment,
        "spec": {**deployment["spec"], "replicas": replicas},
        "status": {**deployment["status"], **status},
    }
    return dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, children=children))


def rendered(snapshot: PolicySnapshot, kind: str) -> Manifest | None:
    return next(
        (m for m in plan_of(snapshot).apply if (m["kind"], m["metadata"]["name"]) == (kind, "demo-hintsvc")), None
    )


@pytest.mark.parametrize(
    ("present", "least", "most", "wanted"),
    [(None, 3, 10, 3), (7, 3, 10, 7), (1, 3, 10, 3), (20, 3, 10, 10), (7, 3, None, 3)],
)
def test_the_present_number_stands_within_its_bounds(
    present: int | None, least: int, most: int | None, wanted: int
) -> None:
    deployment = None if present is None else {"spec": {"replicas": present}}
    assert hintsvc_replicas(scaling(least=least, most=most).spec.hint_service, deployment) == wanted


def test_what_the_autoscaler_decided_is_not_written_over() -> None:
    assert rendered(scaled(settled_policy(scaling()), 7), "Deployment") is None


def test_another_change_keeps_what_the_autoscaler_decided() -> None:
    settled = scaled(settled_policy(scaling()), 7)
    document = scaling().spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["hintService"]["resources"] = {"requests": {"cpu": "1"}}
    changed = policy(PacingPolicySpec.model_validate(document), generation=2)
    deployment = rendered(dataclasses.replace(settled, policy=changed), "Deployment")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 7


def test_switching_autoscaling_on_keeps_the_replicas() -> None:
    settled = settled_policy(scaling(most=None))
    on = dataclasses.replace(settled, policy=dataclasses.replace(scaling(), generation=2))
    assert rendered(on, "Deployment") is None
    assert rendered(on, "HorizontalPodAutoscaler") is not None


@pytest.mark.parametrize(
    ("served", "metrics"), [((), ["Resource"]), ((HINT_REQUESTS.kind,), ["Resource", "Pods"])], ids=["cpu", "requests"]
)
def test_requests_count_where_the_cluster_serves_their_rate(served: tuple[str, ...], metrics: list[str]) -> None:
    snapshot = policy_snapshot(scaling(), cluster=Cluster(children={}, served=frozenset(served)))
    autoscaler = rendered(snapshot, "HorizontalPodAutoscaler")
    assert autoscaler is not None
    assert [metric["type"] for metric in autoscaler["spec"]["metrics"]] == metrics


@given(least=st.integers(1, 100), above=st.integers(0, 99), present=st.integers(0, 300))
def test_an_autoscaled_number_never_leaves_its_bounds(least: int, above: int, present: int) -> None:
    most = min(100, least + above)
    wanted = hintsvc_replicas(scaling(least=least, most=most).spec.hint_service, {"spec": {"replicas": present}})
    assert least <= wanted <= most
    assert wanted == present or not least <= present <= most


def test_switching_autoscaling_off_goes_back_to_what_is_asked_for() -> None:
    settled = scaled(settled_policy(scaling()), 7)
    off = dataclasses.replace(settled, policy=dataclasses.replace(scaling(most=None), generation=2))
    deployment = rendered(off, "Deployment")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
    assert [m["kind"] for m in plan_of(off).delete] == ["HorizontalPodAutoscaler"]


def test_the_replicas_of_the_moment_must_be_ready() -> None:
    ready = {"replicas": 7, "updatedReplicas": 7, "availableReplicas": 7}
    assert condition(plan_of(scaled(settled_policy(scaling()), 7, **ready)), "Ready")["message"].startswith("all 7 ")
    starting = condition(
        plan_of(scaled(settled_policy(scaling()), 7, **ready | {"availableReplicas": 5})), "Progressing"
    )
    assert starting["message"] == "Deployment demo-hintsvc: 5 of 7 replicas are ready and up to date"


@pytest.mark.parametrize(("age_s", "reason"), [(30, "NothingWrong"), (300, "AutoscalingInactive")])
def test_an_autoscaler_without_metrics_is_reported_once_they_should_be_there(age_s: int, reason: str) -> None:
    settled = settled_policy(scaling())
    inactive = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetResourceMetric",
        "lastTransitionTime": (NOW - timedelta(seconds=age_s)).isoformat(),
    }
    children = dict(settled.cluster.children)
    children[AUTOSCALER] = {**children[AUTOSCALER], "status": {"conditions": [inactive]}}
    cluster = dataclasses.replace(settled.cluster, children=children)
    degraded = condition(plan_of(dataclasses.replace(settled, cluster=cluster)), "Degraded")
    assert degraded["reason"] == reason
