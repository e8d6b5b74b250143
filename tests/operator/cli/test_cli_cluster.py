"""``kubectl tokenflow`` as people call it, against the operator on a real API server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.running import ROOT, Operator, eventually, fresh_namespace, running, with_examples

pytestmark = pytest.mark.cluster

Plugin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def applied(
    crds: None,  # noqa: ARG001 - they are there
    unused_tcp_port_factory: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Operator]:
    """One operator for all tests of this module: they look, and leave the spec as it is."""
    ports, log = (unused_tcp_port_factory(), unused_tcp_port_factory()), tmp_path_factory.mktemp("cli") / "operator.log"
    kubeconfig = os.environ["KUBECONFIG"]
    with (
        fresh_namespace() as namespace,
        running(namespace, "--no-leader-election", kubeconfig=kubeconfig, log=log, ports=ports) as started,
    ):
        yield with_examples(started)


@pytest.fixture
def plugin(applied: Operator) -> Plugin:
    """The plugin, found by kubectl on the PATH, in the operator's namespace."""
    scripts = Path(sys.executable).parent
    # The operator has no Deployment here: how it was started is told by the same variables as to itself.
    started = {f"TOKENFLOW_{image}_IMAGE": "absent:1" for image in ("AGENT", "HINTSVC", "REDIS")}
    started |= {"TOKENFLOW_IMAGE_PULL_POLICY": "Never", "TOKENFLOW_NAMESPACE": applied.namespace}
    environment = {**os.environ, **started, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}

    def call(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "tokenflow", *arguments, "-n", applied.namespace]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60, **options
        )

    return call


def test_status_tells_what_is_wrong_and_what_to_do(applied: Operator, plugin: Plugin) -> None:
    eventually(lambda: applied.condition("pp/demo", "Degraded").get("reason") == "ImagePullFailed")
    told = plugin("status")
    assert told.returncode == 1
    assert f"PacingPolicy {applied.namespace}/demo\n  not ready: " in told.stdout
    assert "absent:1" in told.stdout
    document = json.loads(plugin("status", "-o", "json").stdout)
    assert document["well"] is False
    assert [(r["kind"], r["name"]) for r in document["resources"]] == [
        ("PacingPolicy", "demo"),
        ("TelemetryAgent", "nodes"),
    ]


def test_top_shows_both_kinds(plugin: Plugin) -> None:
    told = plugin("top", "--once")
    assert told.returncode == 0
    assert "/demo " in told.stdout
    assert "/nodes " in told.stdout


def test_a_rollout_is_steered_by_annotations(applied: Operator, plugin: Plugin) -> None:
    def annotations() -> dict[str, str]:
        found = applied.get("ta/nodes")["metadata"].get("annotations", {})
        return {key: value for key, value in found.items() if key.startswith("tokenflow.io/rollout-")}

    assert "nodes run revision" in plugin("rollout", "status", "nodes").stdout
    again = f"go on with: kubectl tokenflow rollout resume nodes -n {applied.namespace}\n"
    assert again in plugin("rollout", "pause", "nodes").stdout
    assert annotations() == {"tokenflow.io/rollout-paused": "true"}
    assert plugin("rollout", "resume", "nodes").returncode == 0
    assert annotations() == {}
    revision = eventually(lambda: applied.get("ta/nodes")["status"].get("revision"))
    assert plugin("rollout", "undo", "nodes").returncode == 0
    assert annotations() == {"tokenflow.io/rollout-undo": revision}
    assert plugin("rollout", "retry", "nodes").returncode == 0
    assert list(annotations()) == ["tokenflow.io/rollout-retry"]
    absent = plugin("rollout", "pause", "nobody")
    assert absent.returncode == 1
    assert '"nobody" not found' in absent.stderr


def test_explain_says_which_tenants_there_are(plugin: Plugin) -> None:
    told = plugin("explain", "nobody")
    assert told.returncode == 1
    assert "no policy of this namespace names the tenant nobody: there are free, gold" in told.stderr


def test_simulate_tells_what_would_change_and_changes_nothing(applied: Operator, plugin: Plugin) -> None:
    spec = yaml.safe_load((ROOT / "examples" / "pacingpolicy.yaml").read_text())
    spec["spec"]["thresholds"] = {"rttInflationPercent": 300}
    spec["spec"]["gateway"]["resources"] = {"limits": {"memory": "300Mi"}}
    spec["spec"]["telemetry"] = {"agents": []}
    at_rest = plugin("simulate", "-f", str(ROOT / "examples"))
    assert at_rest.stdout.count("no object changes") == 2, at_rest
    before = applied.kubectl("get", "all,cm,pp,ta", "-o", "name")
    told = plugin("simulate", "-f", "-", input=json.dumps(spec))
    assert told.returncode == 0, told.stderr
    assert "  spec.thresholds.rttInflationPercent: 125 -> 300\n" in told.stdout
    assert "\n  ~ ConfigMap/demo-runtime\n" in told.stdout
    assert "      spec.template.spec.containers[gateway].resources.limits.memory: " in told.stdout
    assert "pods that restart: 2 of Deployment/demo-gateway\n" in told.stdout
    assert "taken over while running: " in told.stdout
    assert f"\nTelemetryAgent {applied.namespace}/nodes\n  ~ ConfigMap/nodes-agent\n" in told.stdout
    assert applied.kubectl("get", "all,cm,pp,ta", "-o", "name") == before
    assert applied.get("pp/demo")["spec"]["thresholds"]["rttInflationPercent"] == 125


def test_simulate_passes_on_what_the_api_server_refuses(plugin: Plugin) -> None:
    spec = yaml.safe_load((ROOT / "examples" / "pacingpolicy.yaml").read_text())
    spec["spec"]["pacing"] = {"minTokensPerSecond": 90}
    told = plugin("simulate", "-f", "-", input=json.dumps(spec))
    assert (told.returncode, told.stdout) == (1, "")
    assert "minTokensPerSecond must not be above maxTokensPerSecond" in told.stderr


def test_simulate_names_what_is_in_the_way(applied: Operator, plugin: Plugin) -> None:
    other = yaml.safe_load((ROOT / "examples" / "pacingpolicy.yaml").read_text())
    other["metadata"]["name"] = "other"
    applied.kubectl("create", "configmap", "other-runtime")
    told = plugin("simulate", "-f", "-", input=json.dumps(other))
    assert told.returncode == 1
    assert f"PacingPolicy {applied.namespace}/other (new)\n" in told.stdout
    assert "\n  + Deployment/other-hintsvc\n" in told.stdout
    assert "\n  ! ConfigMap/other-runtime: it exists and belongs to another: " in told.stdout
