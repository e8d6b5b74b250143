"""The operator as a process of its own against a real API server, in a namespace of its own."""

import json
import time

import pytest

from tests.operator.running import ROOT, Operator, eventually

AT_REST_S = 15.0

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


def test_what_is_changed_by_hand_is_put_back(applied: Operator) -> None:
    applied.kubectl("scale", "deployment/demo-gateway", "--replicas=0")
    eventually(lambda: applied.get("deployment/demo-gateway")["spec"]["replicas"] == 2, within_s=5)
    applied.kubectl("delete", "service/demo-hintsvc", "--wait=false")
    eventually(lambda: applied.get("service/demo-hintsvc"), within_s=5)
    applied.kubectl("patch", "configmap/demo-runtime", "--type=merge", "-p", '{"data": {"runtime.json": "{}"}}')
    eventually(lambda: len(applied.get("configmap/demo-runtime")["data"]["runtime.json"]) > 2, within_s=5)


def test_an_edit_reaches_the_runtime_config_and_no_pod(applied: Operator) -> None:
    before = applied.get("deployment/demo-hintsvc")["metadata"]["generation"]
    patch = {"spec": {"thresholds": {"rttInflationPercent": 300}}}
    applied.kubectl("patch", "pp/demo", "--type=merge", "-p", json.dumps(patch))

    def arrived() -> bool:
        document = json.loads(applied.get("configmap/demo-runtime")["data"]["runtime.json"])
        return document["spec"]["thresholds"]["rttInflationPercent"] == 300

    eventually(arrived, within_s=2)
    assert applied.get("deployment/demo-hintsvc")["metadata"]["generation"] == before
    eventually(lambda: applied.get("pp/demo")["status"]["observedGeneration"] == 2, within_s=2)


def test_a_field_that_is_no_longer_asked_for_goes(applied: Operator) -> None:
    def selector() -> dict[str, str]:
        return applied.get("daemonset/nodes-agent")["spec"]["template"]["spec"]["nodeSelector"]

    applied.kubectl("patch", "ta/nodes", "--type=merge", "-p", '{"spec": {"nodeSelector": {"pool": "gpu"}}}')
    eventually(lambda: selector().get("pool") == "gpu")
    applied.kubectl("patch", "ta/nodes", "--type=merge", "-p", '{"spec": {"nodeSelector": null}}')
    eventually(lambda: "pool" not in selector())


def test_nothing_is_written_at_rest(applied: Operator) -> None:
    def fingerprint() -> list[str]:
        objects = json.loads(applied.kubectl("get", "pp,ta,cm,svc,sa,role,rolebinding", "-o", "json"))["items"]
        return [o["kind"] + o["metadata"]["name"] + o["metadata"]["resourceVersion"] for o in objects]

    eventually(lambda: applied.condition("ta/nodes", "Degraded").get("reason") == "ImagePullFailed")
    eventually(lambda: applied.condition("pp/demo", "Degraded").get("reason") == "ImagePullFailed")
    time.sleep(AT_REST_S)  # pods settle into backing off; what is measured is the silence after that
    before = (applied.writes(), fingerprint())
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
    assert applied.process.wait(timeout=10) == 0
    messages = [json.loads(line)["message"] for line in applied.log.read_text().splitlines()]
    assert messages[-2:] == ["draining", "ended"]
