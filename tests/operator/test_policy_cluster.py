"""What a policy's workloads become on a real API server: scaled by others, on a volume, beside a rival."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.operator.running import Operator, eventually, kubectl

AT_REST_S = 6.0

pytestmark = pytest.mark.cluster


def patch(operator: Operator, hint_service: dict[str, Any]) -> None:
    operator.kubectl("patch", "pp/demo", "--type=merge", "-p", json.dumps({"spec": {"hintService": hint_service}}))


def replicas(operator: Operator) -> int:
    number: int = operator.get("deployment/demo-hintsvc")["spec"]["replicas"]
    return number


def degraded(operator: Operator, what: str = "pp/demo") -> str:
    condition = operator.condition(what, "Degraded")
    return f"{condition.get('reason')}: {condition.get('message')}"


def at_rest(operator: Operator) -> None:
    """Hold that no object is applied or deleted any more; what is said of failing pods may still change."""
    eventually(lambda: "ImagePullFailed" in degraded(operator))

    def applied() -> list[float]:
        kinds = ("Deployment", "HorizontalPodAutoscaler", "PersistentVolumeClaim")
        return [operator.writes(kind) for kind in kinds]

    before = applied()
    assert any(before)
    time.sleep(AT_REST_S)
    assert applied() == before


def test_an_autoscaler_is_let_alone_within_its_bounds(applied: Operator) -> None:
    patch(applied, {"autoscaling": {"maxReplicas": 6}})
    eventually(lambda: applied.get("hpa/demo-hintsvc"))
    assert replicas(applied) == 3
    applied.kubectl("scale", "deployment/demo-hintsvc", "--replicas=5")
    patch(applied, {"resources": {"requests": {"cpu": "110m"}}})
    eventually(lambda: "110m" in json.dumps(applied.get("deployment/demo-hintsvc")["spec"]))
    assert replicas(applied) == 5
    applied.kubectl("scale", "deployment/demo-hintsvc", "--replicas=9")
    eventually(lambda: replicas(applied) == 6)
    at_rest(applied)
    patch(applied, {"autoscaling": None})
    eventually(lambda: replicas(applied) == 3 and not applied.get("hpa/demo-hintsvc"))


@pytest.fixture
def volume(applied: Operator) -> Iterator[str]:
    """A volume that only the Redis of this namespace may claim, for a cluster that makes none by itself."""
    name = f"{applied.namespace}-redis"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "claimRef": {"namespace": applied.namespace, "name": "demo-redis"},
        "hostPath": {"path": "/mnt"},
    }
    manifest = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    yield name
    kubectl("delete", "persistentvolume", name, "--wait=false")


def test_redis_has_a_volume_as_far_as_the_cluster_gives_one(applied: Operator, volume: str) -> None:
    def embedded(**asked: Any) -> None:
        patch(applied, {"redis": {"embedded": asked}})

    embedded(storage="1Gi")
    eventually(lambda: applied.get("pvc/demo-redis").get("spec", {}).get("volumeName") == volume)
    eventually(
        lambda: "demo-redis" in json.dumps(applied.get("deployment/demo-redis")["spec"]["template"]["spec"]["volumes"])
    )
    embedded(storage="512Mi")
    eventually(lambda: "demo-redis of 1Gi cannot shrink: write 1Gi" in degraded(applied))
    embedded(storage="2Gi")
    eventually(lambda: "only dynamically provisioned pvc can be resized" in degraded(applied))
    embedded(storage="1024Mi")
    eventually(lambda: "pvc" not in degraded(applied) and "shrink" not in degraded(applied))
    at_rest(applied)
    embedded(storage=None)
    eventually(lambda: not applied.get("pvc/demo-redis"))


def test_two_policies_that_claim_the_same_name_each_other(applied: Operator) -> None:
    rival = {**applied.get("pp/demo"), "metadata": {"name": "rival", "namespace": applied.namespace}}
    applied.kubectl("create", "-f", "-", stdin=json.dumps({key: rival[key] for key in rival if key != "status"}))
    for mine, other in (("demo", "rival"), ("rival", "demo")):
        eventually(
            lambda mine=mine, other=other: (
                f"gold (also in {applied.namespace}/{other})" in degraded(applied, f"pp/{mine}")
            )
        )
        assert f"llama (also in {applied.namespace}/{other})" in degraded(applied, f"pp/{mine}")
    applied.kubectl("delete", "pp/rival")
    eventually(lambda: "rival" not in degraded(applied))
