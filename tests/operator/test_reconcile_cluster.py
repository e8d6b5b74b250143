"""The operator as a process of its own against a real API server, in a namespace of its own."""

import json
import time
from typing import Any

import pytest

from tests.operator.running import ROOT, Operator, eventually

AT_REST_S = 10.0
ALERTS = {"HintServiceDown", "GatewayDown"}
"""What fires where no image can be pulled."""

pytestmark = pytest.mark.cluster


def test_the_examples_become_workloads_and_a_status(applied: Operator) -> None:
    for child in (
        *("configmap/demo-runtime", "configmap/nodes-agent", "service/demo-hintsvc", "service/demo-gateway"),
        *("service/demo-redis", "deployment/demo-hintsvc", "deployment/demo-redis", "daemonset/nodes-agent"),
        *("serviceaccount/demo-hintsvc", "serviceaccount/demo-gateway", "serviceaccount/nodes-agent"),
        *("role/demo-hintsvc", "rolebinding/demo-hintsvc"),
    ):
        assert applied.get(child), child
    runtime = json.loads(applied.get("configmap/demo-runtime")["data"]["runtime.json"])
    assert (runtime["namespace"], runtime["generation"]) == (applied.namespace, 1)
    assert applied.condition("pp/demo", "Ready")["status"] == "False"
    degraded = eventually(
        lambda: (c := applied.condition("pp/demo", "Degraded")).get("reason") == "ImagePullFailed" and c
    )
    assert "absent:1" in degraded["message"]
    assert "ImagePullFailed" in eventually(
        lambda: applied.kubectl("get", "events.events.k8s.io", "--field-selector=reason=ImagePullFailed")
    )
    assert "applied ServiceAccount/demo-hintsvc" in applied.kubectl("describe", "pp/demo")


CHILDREN = {
    "serviceaccount/demo-gateway": {"metadata": {"labels": {"app.kubernetes.io/component": "x"}}},
    "role/demo-hintsvc": {"rules": []},
    "rolebinding/demo-hintsvc": {"subjects": []},
    "configmap/demo-runtime": {"data": {"runtime.json": "{}"}},
    "service/demo-hintsvc": {"spec": {"selector": {"app.kubernetes.io/component": "x"}}},
    "networkpolicy/demo-gateway": {"spec": {"policyTypes": ["Egress"]}},
    "deployment/demo-gateway": {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 99}}}},
    "poddisruptionbudget/demo-gateway": {"spec": {"maxUnavailable": 7}},
    "configmap/nodes-agent": {"data": {"agent.json": "{}"}},
    "daemonset/nodes-agent": {"spec": {"template": {"spec": {"hostPID": False}}}},
}
"""A child of each kind, and what somebody might do to it."""


def _intent(of: dict[str, Any]) -> str:
    """Return an object without what the API server counts and others note down."""
    metadata = {key: of["metadata"].get(key) for key in ("labels", "annotations", "ownerReferences")}
    metadata["annotations"] = {
        key: value for key, value in (metadata["annotations"] or {}).items() if key.startswith("tokenflow.io/")
    }
    rest = {key: value for key, value in of.items() if key not in ("metadata", "status")}
    return json.dumps({**rest, "metadata": metadata}, sort_keys=True)


def _repaired(operator: Operator, before: dict[str, dict[str, Any]], disturbed: list[str]) -> None:
    """Wait until the children are as before, long before all is looked at again."""
    eventually(lambda: all((now := operator.get(c)) and _intent(now) == _intent(before[c]) for c in disturbed))


def test_what_is_edited_by_hand_is_put_back(applied: Operator) -> None:
    before = {child: applied.get(child) for child in CHILDREN}
    for child, patch in CHILDREN.items():
        applied.kubectl("patch", child, "--type=merge", "-p", json.dumps(patch))
        _repaired(applied, before, [child])
    applied.kubectl("scale", "deployment/demo-gateway", "--replicas=0")
    _repaired(applied, before, ["deployment/demo-gateway"])
    # What others add is theirs to keep.
    applied.kubectl("annotate", "service/demo-hintsvc", "example.com/note=mine")
    applied.kubectl("patch", "service/demo-hintsvc", "--type=merge", "-p", json.dumps(CHILDREN["service/demo-hintsvc"]))
    _repaired(applied, before, ["service/demo-hintsvc"])
    assert applied.get("service/demo-hintsvc")["metadata"]["annotations"]["example.com/note"] == "mine"


def test_what_is_deleted_by_hand_comes_back(applied: Operator) -> None:
    uids = {child: applied.get(child)["metadata"]["uid"] for child in CHILDREN}
    applied.kubectl("delete", *CHILDREN, "--wait=false")
    eventually(lambda: all((now := applied.get(c)) and now["metadata"]["uid"] != uid for c, uid in uids.items()))


def test_a_field_that_another_manager_applies_is_left_to_it_and_reported(applied: Operator) -> None:
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "demo-gateway"},
        "spec": {"replicas": 5},
    }
    apply = ("apply", "--server-side", "--field-manager=argocd", "--force-conflicts", "-f", "-")
    applied.kubectl(*apply, stdin=json.dumps(theirs))
    ready = eventually(lambda: (c := applied.condition("pp/demo", "Ready")).get("reason") == "FieldConflict" and c)
    assert "Deployment/demo-gateway: .spec.replicas is held by field manager 'argocd'" in ready["message"]
    assert applied.get("deployment/demo-gateway")["spec"]["replicas"] == 5
    # It gives the field up: what was asked for holds again.
    del theirs["spec"]
    applied.kubectl(*apply, stdin=json.dumps(theirs))
    eventually(lambda: applied.get("deployment/demo-gateway")["spec"].get("replicas") == 2)
    eventually(lambda: applied.condition("pp/demo", "Ready")["reason"] != "FieldConflict")


def test_who_takes_a_field_again_and_again_is_reported_and_not_fought(applied: Operator) -> None:
    for _ in range(3):
        applied.kubectl("scale", "deployment/demo-gateway", "--replicas=7")
        eventually(lambda: applied.get("deployment/demo-gateway")["spec"]["replicas"] == 2)
    applied.kubectl("scale", "deployment/demo-gateway", "--replicas=7")
    ready = eventually(lambda: (c := applied.condition("pp/demo", "Ready")).get("reason") == "FieldConflict" and c)
    assert "sets it again and again" in ready["message"]
    assert applied.get("deployment/demo-gateway")["spec"]["replicas"] == 7


def test_an_edit_reaches_the_runtime_config_and_no_pod(applied: Operator) -> None:
    before = applied.get("deployment/demo-hintsvc")["metadata"]["generation"]
    patch = {"spec": {"thresholds": {"rttInflationPercent": 300}}}
    applied.kubectl("patch", "pp/demo", "--type=merge", "-p", json.dumps(patch))

    def arrived() -> bool:
        document = json.loads(applied.get("configmap/demo-runtime")["data"]["runtime.json"])
        return document["spec"]["thresholds"]["rttInflationPercent"] == 300

    eventually(arrived)
    assert applied.get("deployment/demo-hintsvc")["metadata"]["generation"] == before
    eventually(lambda: applied.get("pp/demo")["status"]["observedGeneration"] == 2)


def test_a_field_that_is_no_longer_asked_for_goes(applied: Operator) -> None:
    def selector() -> dict[str, str]:
        return applied.get("daemonset/nodes-agent")["spec"]["template"]["spec"]["nodeSelector"]

    applied.kubectl("patch", "ta/nodes", "--type=merge", "-p", '{"spec": {"nodeSelector": {"pool": "gpu"}}}')
    eventually(lambda: selector().get("pool") == "gpu")
    applied.kubectl("patch", "ta/nodes", "--type=merge", "-p", '{"spec": {"nodeSelector": null}}')
    eventually(lambda: "pool" not in selector())


def test_nothing_is_written_at_rest(applied: Operator) -> None:
    def fingerprint() -> list[str]:
        objects = json.loads(
            applied.kubectl("get", "pp,ta,cm,svc,sa,role,rolebinding,pdb,netpol,hpa,pvc", "-o", "json")
        )["items"]
        return [o["kind"] + o["metadata"]["name"] + o["metadata"]["resourceVersion"] for o in objects]

    # All that is ever rendered, whatever the API server makes of it.
    spec = {
        "hintService": {
            "autoscaling": {"maxReplicas": 5, "targetCPUPercent": 60},
            "redis": {"embedded": {"storage": "1Gi"}},
            "resources": {"requests": {"cpu": "1500m", "memory": "1024Mi"}},
        }
    }
    applied.kubectl("patch", "pp/demo", "--type=merge", "-p", json.dumps({"spec": spec}))
    eventually(lambda: applied.get("horizontalpodautoscaler/demo-hintsvc") and applied.get("pvc/demo-redis"))
    eventually(lambda: applied.condition("ta/nodes", "Degraded").get("reason") == "ImagePullFailed")
    # That is told last: alerts have to last for half a minute.
    eventually(lambda: {a["name"] for a in applied.get("pp/demo")["status"]["alerts"]} >= ALERTS, within_s=60)
    time.sleep(AT_REST_S)  # pods settle into backing off; what is measured is the silence after that
    before = (applied.writes(), fingerprint())
    assert applied.metric("tokenflow_operator_unsettled_applies_total") == 0
    time.sleep(AT_REST_S)
    assert (applied.writes(), fingerprint()) == before


def test_deleting_the_resources_deletes_all_they_made(applied: Operator) -> None:
    applied.kubectl("delete", "pp/demo", "ta/nodes")
    kinds = "deployment,daemonset,service,configmap,serviceaccount,role,rolebinding,pod"
    ours = ("get", kinds, "-l", "app.kubernetes.io/managed-by=tokenflow-operator", "-o", "name")
    eventually(lambda: not applied.kubectl(*ours), within_s=60)


def test_an_object_of_someone_else_is_not_taken_over(operator: Operator) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "demo-gateway"},
        "spec": {"ports": [{"port": 1234}]},
    }
    operator.kubectl("create", "-f", "-", stdin=json.dumps(theirs))
    operator.kubectl("apply", "-f", str(ROOT / "examples" / "pacingpolicy.yaml"))
    ready = eventually(lambda: (c := operator.condition("pp/demo", "Ready")).get("reason") == "Conflict" and c)
    assert "Service/demo-gateway" in ready["message"]
    assert operator.get("service/demo-gateway")["spec"]["ports"][0]["port"] == 1234
    operator.kubectl("delete", "service/demo-gateway")
    eventually(lambda: operator.get("service/demo-gateway").get("spec", {}).get("ports", [{}])[0].get("port") != 1234)


def test_a_missing_agent_is_named(operator: Operator) -> None:
    operator.kubectl("apply", "-f", str(ROOT / "examples" / "pacingpolicy.yaml"))
    missing = eventually(
        lambda: (c := operator.condition("pp/demo", "Degraded")).get("reason") == "AgentNotFound" and c
    )
    assert "nodes" in missing["message"]


def test_sigterm_ends_it_in_order(applied: Operator) -> None:
    applied.process.terminate()
    assert applied.process.wait(timeout=40) == 0
    messages = [json.loads(line)["message"] for line in applied.log.read_text().splitlines()]
    assert messages[-2:] == ["draining", "ended"]
