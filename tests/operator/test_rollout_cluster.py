"""Rollouts of agents on three real nodes."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operator import stand_in
from tests.operator.running import Operator, eventually, fresh_namespace, kubectl, running
from tests.operator.stand_in import CRASHING, ONE, TWO

pytestmark = pytest.mark.cluster

ROLLOUT = {"maxUnavailablePercent": 100, "canary": {"duration": "5s", "maxRestarts": 0}}


@pytest.fixture(scope="module", autouse=True)
def _images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    if "TOKENFLOW_TEST_KUBECONFIG" in os.environ:
        pytest.skip("images can be brought to the nodes of our own cluster alone")
    request.getfixturevalue("cluster")
    stand_in.load(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest,
    unused_tcp_port_factory: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Operator]:
    """An operator whose agents have proved themselves on every node."""
    request.getfixturevalue("crds")
    ports = (unused_tcp_port_factory(), unused_tcp_port_factory())
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with (
        fresh_namespace() as namespace,
        running(
            namespace, "--no-leader-election", kubeconfig=os.environ["KUBECONFIG"], log=log, ports=ports
        ) as started,
    ):
        _apply(started, "nodes", image=ONE, rollout=ROLLOUT)
        eventually(lambda: _status(started).get("lastGoodRevision"), within_s=60)
        yield started


@pytest.fixture
def cordoned() -> Iterator[str]:
    name = kubectl("get", "nodes", "-o", "name").split()[-1].removeprefix("node/")
    kubectl("cordon", name)
    yield name
    kubectl("uncordon", name)


def test_a_bad_image_stops_at_the_canary_and_gives_way(installed: Operator) -> None:
    before = _agents(installed)
    _set_image(installed, "absent:2")
    degraded = eventually(
        lambda: (c := installed.condition("ta/nodes", "Degraded")).get("reason") == "RolledBack" and c
    )
    assert "absent:2" in degraded["message"]
    eventually(lambda: _runs_everywhere(installed, ONE) and _stage(installed) == "RolledBack")
    after = _agents(installed)
    (canary,) = (node for node in before if before[node]["uid"] != after[node]["uid"])
    status = _status(installed)
    assert status["rollout"]["failedRevision"] == status["revision"]
    assert f"replaced the agents on {canary}" in installed.kubectl(
        "get", "events.events.k8s.io", "-o", "jsonpath={..note}"
    )

    tried = after[canary]["uid"]
    installed.kubectl("annotate", "ta/nodes", "tokenflow.io/rollout-retry=now")
    eventually(lambda: _agents(installed).get(canary, {}).get("uid", tried) != tried)
    eventually(lambda: _runs_everywhere(installed, ONE) and _stage(installed) == "RolledBack")

    _set_image(installed, CRASHING)
    eventually(lambda: "restarts, above" in installed.condition("ta/nodes", "Degraded").get("message", ""), within_s=60)
    eventually(lambda: _runs_everywhere(installed, ONE))
    others = {node: agent["uid"] for node, agent in after.items() if node != canary}
    assert {node: agent["uid"] for node, agent in _agents(installed).items() if node != canary} == others


def test_a_rollout_goes_on_under_another_operator_and_by_hand(
    installed: Operator, cordoned: str, unused_tcp_port_factory: Callable[[], int], tmp_path: Path
) -> None:
    good = _status(installed)["lastGoodRevision"]
    _set_image(installed, TWO)
    (canary,) = eventually(lambda: _stage(installed) == "Canary" and _rollout(installed).get("canaryNodes"))
    assert canary != cordoned
    installed.process.kill()
    installed.process.wait(timeout=40)
    installed.kubectl("annotate", "ta/nodes", "tokenflow.io/rollout-paused=true")
    ports = (unused_tcp_port_factory(), unused_tcp_port_factory())
    command = (installed.namespace, "--no-leader-election")
    with running(*command, kubeconfig=os.environ["KUBECONFIG"], log=tmp_path / "second.log", ports=ports) as second:
        eventually(lambda: second.condition("ta/nodes", "Progressing").get("reason") == "RolloutPaused")
        assert {agent["image"] for node, agent in _agents(second).items() if node != canary} == {ONE}
        second.kubectl("annotate", "ta/nodes", "tokenflow.io/rollout-paused-")
        eventually(lambda: _stage(second) == "Waves")
        eventually(lambda: _stage(second) == "Complete", within_s=60)
        assert _runs_everywhere(second, TWO)
        assert second.condition("ta/nodes", "Ready")["status"] == "True"

        second.kubectl("annotate", "ta/nodes", f"tokenflow.io/rollout-undo={_status(second)['revision']}")
        eventually(lambda: _runs_everywhere(second, ONE))
        assert _status(second)["lastGoodRevision"] == good


def test_of_two_agents_on_the_same_nodes_the_older_one_runs(operator: Operator) -> None:
    _apply(operator, "older", image="absent:1")
    eventually(lambda: operator.get("daemonset/older-agent"))
    _apply(operator, "younger", image="absent:1")
    ready = eventually(lambda: operator.condition("ta/younger", "Ready"))
    assert (ready["status"], ready["reason"]) == ("False", "NodesOverlap")
    assert f"TelemetryAgent {operator.namespace}/older" in ready["message"]
    assert not operator.get("daemonset/younger-agent")
    operator.kubectl("delete", "ta/older")
    eventually(lambda: operator.get("daemonset/younger-agent"))


def _apply(operator: Operator, name: str, **spec: Any) -> None:
    agent = {
        "apiVersion": "tokenflow.io/v1alpha1",
        "kind": "TelemetryAgent",
        "metadata": {"name": name},
        "spec": spec,
    }
    operator.kubectl("apply", "-f", "-", stdin=json.dumps(agent))


def _status(operator: Operator) -> dict[str, Any]:
    status: dict[str, Any] = operator.get("ta/nodes").get("status", {})
    return status


def _rollout(operator: Operator) -> dict[str, Any]:
    rollout: dict[str, Any] = _status(operator).get("rollout", {})
    return rollout


def _stage(operator: Operator) -> str:
    stage: str = _rollout(operator).get("stage", "")
    return stage


def _set_image(operator: Operator, image: str) -> None:
    operator.kubectl("patch", "ta/nodes", "--type=merge", "-p", json.dumps({"spec": {"image": image}}))


def _agents(operator: Operator) -> dict[str, dict[str, Any]]:
    """Return uid, image and readiness of each node's agent."""
    pods = json.loads(operator.kubectl("get", "pods", "-o", "json"))["items"]
    return {
        pod["spec"]["nodeName"]: {
            "uid": pod["metadata"]["uid"],
            "image": pod["spec"]["containers"][0]["image"],
            "ready": any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])),
        }
        for pod in pods
        if "nodeName" in pod["spec"]
    }


def _runs_everywhere(operator: Operator, image: str) -> bool:
    agents = _agents(operator).values()
    return len(agents) >= 3 and all(agent["image"] == image and agent["ready"] for agent in agents)
