import pytest

from tests.operator.builders import condition, example, plan_of, policy, policy_snapshot, settled_policy
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan import Plan
from tokenflow_operator.snapshot import Cluster, Policy

CLAIM = ObjectRef("PersistentVolumeClaim", "demo-redis")


def stored(size: str | None, storage_class: str | None = None) -> Policy:
    asked = {"storage": size, "storageClassName": storage_class}
    embedded = {name: value for name, value in asked.items() if value is not None}
    document = example("pacingpolicy.yaml") | {"hintService": {"redis": {"embedded": embedded}}}
    return policy(PacingPolicySpec.model_validate(document))


def present(size: str, storage_class: str | None = None) -> Manifest:
    """Return the claim as the API server shows it after it was made with that size."""
    asked = plan_of(policy_snapshot(stored(size, storage_class)))
    claim = next(m for m in asked.apply if m["kind"] == CLAIM.kind)
    return {**claim, "spec": {**claim["spec"], "storageClassName": storage_class or "standard", "volumeName": "pv"}}


def planned(asked: Policy, claim: Manifest) -> tuple[Plan, Manifest | None]:
    plan = plan_of(policy_snapshot(asked, cluster=Cluster(children={CLAIM: claim})))
    return plan, next((m for m in plan.apply if m["kind"] == CLAIM.kind), None)


def test_a_claim_grows() -> None:
    plan, claim = planned(stored("3Gi"), present("2Gi"))
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert condition(plan, "Degraded")["status"] == "False"


def test_a_claim_that_cannot_shrink_is_left_as_it_is_and_reported() -> None:
    plan, claim = planned(stored("1Gi"), present("2Gi"))
    assert claim is None
    degraded = condition(plan, "Degraded")
    assert degraded["reason"] == "StorageFixed"
    assert "storage is 1Gi, and PersistentVolumeClaim demo-redis of 2Gi cannot shrink: write 2Gi" in degraded["message"]


def test_a_class_that_cannot_change_is_left_as_it_is_and_reported() -> None:
    plan, claim = planned(stored("2Gi", "fast"), present("2Gi", "slow"))
    assert claim is None or claim["spec"]["storageClassName"] == "slow"
    assert "storageClassName is fast" in condition(plan, "Degraded")["message"]


@pytest.mark.parametrize("asked", [stored("2Gi"), stored("2048Mi")], ids=["same", "other-words"])
def test_the_class_and_size_that_the_cluster_gave_are_no_drift(asked: Policy) -> None:
    plan, claim = planned(asked, present("2Gi"))
    assert claim is None or claim["metadata"]["annotations"] != present("2Gi")["metadata"]["annotations"]
    assert condition(plan, "Degraded")["status"] == "False"


def test_without_storage_the_claim_goes_and_the_state_stays_in_memory() -> None:
    settled = settled_policy(stored("2Gi"))
    plan = plan_of(settled_policy(stored(None), cluster=settled.cluster))
    assert [m["metadata"]["name"] for m in plan.delete if m["kind"] == CLAIM.kind] == ["demo-redis"]
    redis = next(m for m in plan.apply if m["metadata"]["name"] == "demo-redis" and m["kind"] == "Deployment")
    pod = redis["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "data", "emptyDir": {}}]
    assert "--appendonly no" in " ".join(pod["containers"][0]["args"])
