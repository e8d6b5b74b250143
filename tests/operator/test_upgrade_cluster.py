"""An operator that finds what the one before it made: it takes it over, and replaces no workload.

``previous`` holds what the last release rendered of both examples.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.running import ROOT, eventually, kubectl, running

PREVIOUS = Path(__file__).parent / "previous"
WORKLOADS = ("deployment/demo-hintsvc", "deployment/demo-gateway", "deployment/demo-redis", "daemonset/nodes-agent")
RESOURCES = {"policy": "pacingpolicy/demo", "agent": "telemetryagent/nodes"}

pytestmark = pytest.mark.cluster


def rendered_before(name: str, *, namespace: str, uid: str) -> list[dict[str, Any]]:
    words = (PREVIOUS / f"{name}.yaml").read_text()
    for old, new in (
        *(("uid: uid-demo", f"uid: {uid}"), ("uid: uid-nodes", f"uid: {uid}")),
        *(
            ("namespace: default", f"namespace: {namespace}"),
            ("imagePullPolicy: IfNotPresent", "imagePullPolicy: Never"),
        ),
    ):
        words = words.replace(old, new)
    return list(yaml.safe_load_all(words))


def no_longer_wanted(like: dict[str, Any]) -> dict[str, Any]:
    return {**like, "metadata": {**like["metadata"], "name": f"{like['metadata']['name']}-left-over"}}


def test_what_the_previous_release_made_is_taken_over(
    namespace: str, unused_tcp_port_factory: Callable[[], int], tmp_path: Path
) -> None:
    def get(*what: str) -> Any:
        return json.loads(kubectl("-n", namespace, "get", *what, "-o", "json", "--ignore-not-found") or "{}")

    kubectl("-n", namespace, "apply", "-f", str(ROOT / "examples"))
    for name, resource in RESOURCES.items():
        objects = rendered_before(name, namespace=namespace, uid=get(resource)["metadata"]["uid"])
        config_map = next(each for each in objects if each["kind"] == "ConfigMap")
        everything = yaml.safe_dump_all([*objects, no_longer_wanted(config_map)])
        kubectl("apply", "--server-side", "--field-manager=tokenflow-operator", "-f", "-", stdin=everything)
    before = {workload: get(workload) for workload in WORKLOADS}

    ports, log = (unused_tcp_port_factory(), unused_tcp_port_factory()), tmp_path / "operator.log"
    kubeconfig = os.environ["KUBECONFIG"]
    with running(namespace, "--no-leader-election", kubeconfig=kubeconfig, log=log, ports=ports):
        eventually(lambda: get("poddisruptionbudget/demo-hintsvc"))
        eventually(lambda: "left-over" not in json.dumps(get("configmaps")))
        for workload in ("deployment/demo-hintsvc", "deployment/demo-gateway"):
            eventually(lambda workload=workload: "matchLabelKeys" in json.dumps(get(workload)["spec"]))
        eventually(lambda: get("pacingpolicy/demo")["status"].get("conditions"))
        after = {workload: get(workload) for workload in WORKLOADS}
    for workload in WORKLOADS:
        assert after[workload]["metadata"]["uid"] == before[workload]["metadata"]["uid"]
        assert after[workload]["spec"]["selector"] == before[workload]["spec"]["selector"]
    assert "Conflict" not in json.dumps(get("pacingpolicy/demo")["status"]["conditions"])
