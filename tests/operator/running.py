"""The operator as a process of its own against a real API server, in a namespace of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

ROOT = Path(__file__).parents[2]
CONVERGED_S = 60.0
ABSENT = ("--ignore-not-found", "-o", "name")


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    command = ["kubectl", "--request-timeout=20s", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def operators_of_all_namespaces() -> list[str]:
    """Return the installed operators that would meddle with every namespace."""
    asked = ("get", "deployments", "-A", "-l", "app.kubernetes.io/name=tokenflow-operator", "-o", "json")
    found = []
    for deployment in json.loads(kubectl(*asked))["items"]:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        settings = {variable["name"]: variable.get("value", "") for variable in container["env"]}
        if not settings.get("TOKENFLOW_NAMESPACE"):
            found.append(deployment["metadata"]["name"])
    return found


def eventually(what: Callable[[], Any], *, within_s: float = CONVERGED_S) -> Any:
    """Return what is asked for as soon as it is true."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Operator:
    process: subprocess.Popen[bytes]
    log: Path
    namespace: str
    port: int
    metrics_port: int

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return kubectl("--namespace", self.namespace, *arguments, **options)

    def get(self, what: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", what, "-o", "json", "--ignore-not-found", check=False) or "{}")

    def condition(self, what: str, type_: str) -> dict[str, Any]:
        conditions = self.get(what).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), {})

    def metric(self, name: str, labels: str = "") -> float:
        """Return the sum over all labels of a metric that begin so, 0 while nothing is counted yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=20) as answer:
                lines = answer.read().decode().splitlines()
        except URLError:
            return 0.0
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{{labels}", f"{name} ")))

    def writes(self, kind: str = "") -> float:
        return self.metric("tokenflow_operator_writes_total", f'kind="{kind}"' if kind else "")


@contextmanager
def fresh_namespace() -> Iterator[str]:
    """Lend a namespace that nobody else uses."""
    name = f"operator-test-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


_MONITORING = {"PrometheusRule": "prometheusrules", "ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors"}


@contextmanager
def monitoring() -> Iterator[None]:
    """Install the kinds of the Prometheus operator, with any content, for a while; those that are there stay."""
    names = {f"crd/{plural}.monitoring.coreos.com": (kind, plural) for kind, plural in _MONITORING.items()}
    missing = [name for name in names if not kubectl("get", name, *ABSENT)]
    try:
        for name in missing:
            kubectl("apply", "-f", "-", stdin=json.dumps(_crd(*names[name])))
        kubectl("wait", "--for=condition=Established", *names)
        yield
    finally:
        for name in missing:
            kubectl("delete", name, "--ignore-not-found")


def _crd(kind: str, plural: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


@contextmanager
def running(namespace: str, *arguments: str, kubeconfig: str, log: Path, ports: tuple[int, int]) -> Iterator[Operator]:
    """Run an operator that looks after the namespace, with images that no node has."""
    port, metrics_port = ports
    command = [
        *(sys.executable, "-m", "tokenflow_operator", "--namespace", namespace, "--kubeconfig", kubeconfig),
        *("--port", str(port), "--metrics-port", str(metrics_port), "--image-pull-policy", "Never"),
        *("--agent-image", "absent:1", "--hintsvc-image", "absent:1", "--redis-image", "absent:1"),
        *arguments,
    ]
    with log.open("ab") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            yield Operator(process=process, log=log, namespace=namespace, port=port, metrics_port=metrics_port)
        finally:
            process.terminate()
            process.wait(timeout=40)


def with_examples(operator: Operator) -> Operator:
    """Apply both examples, and return once the operator has judged them."""
    operator.kubectl("apply", "-f", str(ROOT / "examples"))
    eventually(lambda: operator.get("deployment/demo-gateway") and operator.get("daemonset/nodes-agent"))
    eventually(lambda: operator.condition("pp/demo", "Ready") and operator.condition("ta/nodes", "Ready"))
    return operator
