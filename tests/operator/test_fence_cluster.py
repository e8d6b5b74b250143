"""The chart's fence: the API server refuses writes of a replica that does not hold the Lease, whatever it believes."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.commands import run
from tests.operator.running import ROOT, Operator, eventually, kubectl, running

pytestmark = pytest.mark.cluster

ACCOUNT = "tokenflow-operator"
SHOWN = ("serviceaccount", "rbac", "ha", "admissionpolicies")


@dataclass(frozen=True)
class Replica:
    """A replica with the token of a pod of its own, as the kubelet gives it to one."""

    operator: Operator
    kubeconfig: Path

    def leads(self) -> bool:
        return self.operator.metric("tokenflow_operator_leader") == 1

    def write(self, name: str) -> subprocess.CompletedProcess[str]:
        """Write a child of a resource in its name."""
        metadata = {"name": name, "labels": {"tokenflow.io/owner": "pp.nobody"}}
        child = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", "-n", self.operator.namespace, "create", "-f", "-"]
        return subprocess.run(command, input=child, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def chart(namespace: str) -> Iterator[str]:
    """Return a namespace with the rights, the Lease and the policies of the chart."""
    values = f"--set=scope.namespace={namespace},admissionPolicy.privilegedAgents=true"
    where = ["--kube-version=1.37.0", f"--namespace={namespace}"]
    shown = [f"--show-only=templates/{name}.yaml" for name in SHOWN]
    rendered = run(["helm", "template", "tokenflow", str(ROOT / "charts" / "tokenflow"), *where, values, *shown])
    kubectl("apply", "-f", "-", stdin=rendered)
    try:
        yield namespace
    finally:
        kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=rendered)


@pytest.fixture
def replicas(
    chart: str,
    unused_tcp_port_factory: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[Replica]]:
    namespace, made = chart, []
    with ExitStack() as stack:
        for name in ("first", "second"):
            monkeypatch.setenv("POD_NAME", name)
            kubeconfig = kubeconfig_of_pod(namespace, name, tmp_path / name)
            arguments = ("--pod-namespace", namespace, "--lease-name", ACCOUNT, "--service-account", ACCOUNT)
            ports, log = (unused_tcp_port_factory(), unused_tcp_port_factory()), tmp_path / f"{name}.log"
            operator = stack.enter_context(
                running(namespace, *arguments, kubeconfig=str(kubeconfig), log=log, ports=ports)
            )
            made.append(Replica(operator=operator, kubeconfig=kubeconfig))
            eventually(made[0].leads)
        yield made


def kubeconfig_of_pod(namespace: str, name: str, path: Path) -> Path:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "nodeSelector": {"nowhere": "at-all"},
            "containers": [{"name": "operator", "image": "absent:1"}],
        },
    }
    kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(pod))
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}")
    kubeconfig = json.loads(kubectl("config", "view", "--raw", "-o", "json"))
    kubeconfig["users"][0]["user"] = {"token": kubectl("-n", namespace, "create", "token", ACCOUNT, *bound).strip()}
    path.write_text(json.dumps(kubeconfig))
    return path


def test_the_api_server_takes_writes_of_the_leader_alone(replicas: list[Replica]) -> None:
    first, second = replicas
    first.operator.kubectl("apply", "-f", str(ROOT / "examples" / "telemetryagent.yaml"))
    eventually(lambda: first.operator.get("daemonset/nodes-agent"))
    refused = second.write("of-the-second")
    assert 'this replica does not lead: the Lease is held by "first_' in refused.stderr
    assert first.write("of-the-first").returncode == 0
    first.operator.process.send_signal(signal.SIGSTOP)
    try:
        eventually(second.leads, within_s=60)
        # As what a leader had decided to write before it was frozen.
        assert 'the Lease is held by "second_' in first.write("late").stderr
    finally:
        first.operator.process.send_signal(signal.SIGCONT)
    assert second.write("of-the-second").returncode == 0
    second.operator.kubectl("patch", "ta/nodes", "--type=merge", "-p", '{"spec": {"nodeSelector": {"pool": "gpu"}}}')
    spec = "{.spec.template.spec.nodeSelector.pool}"
    eventually(lambda: second.operator.kubectl("get", "daemonset/nodes-agent", "-o", f"jsonpath={spec}") == "gpu")


def test_privileged_agents_need_a_namespace_that_admits_them(chart: str) -> None:
    agent = (ROOT / "examples" / "telemetryagent.yaml").read_text()
    privileged = agent.replace("security: Capabilities", "security: Privileged")

    def tried(document: str) -> str:
        command = ["kubectl", "-n", chart, "apply", "--dry-run=server", "-f", "-"]
        done = subprocess.run(command, input=document, capture_output=True, text=True, check=False, timeout=60)
        return done.stderr if done.returncode else ""

    assert tried(agent) == ""
    eventually(lambda: "does not say that it admits privileged pods" in tried(privileged))
    kubectl("label", "namespace", chart, "pod-security.kubernetes.io/enforce=privileged")
    eventually(lambda: tried(privileged) == "")
