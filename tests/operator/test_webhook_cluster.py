"""The webhook as the real API server calls it: an operator on this machine, with a certificate of its own making."""

import base64
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.settings import HOST_ADDRESS
from tests.operator.running import ROOT, Operator, eventually, kubectl, running
from tokenflow_operator.webhook.authority import SETTLING, renewed

pytestmark = pytest.mark.cluster

NAME = "webhook"
HOOK = "resources.tokenflow.io"


def example(kind: str, **changes: Any) -> str:
    document = yaml.safe_load((ROOT / "examples" / f"{kind}.yaml").read_text())
    document["metadata"]["name"] = changes.pop("name", document["metadata"]["name"])
    document["spec"] |= changes
    return json.dumps(document)


@contextmanager
def hooked(
    namespace: str, *, ports: tuple[int, int, int], log: Path, secret: Mapping[str, bytes]
) -> Iterator[Operator]:
    """Run an operator whose webhook the API server asks about its namespace; what cannot be asked is refused."""
    configuration, port = f"{namespace}-{NAME}", ports[0]
    data = {name: base64.b64encode(value).decode() for name, value in secret.items()}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "data": data}
    kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(document))
    hook = {
        "name": HOOK,
        "clientConfig": {"url": f"https://{HOST_ADDRESS}:{port}/validate"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [
            {
                "apiGroups": ["tokenflow.io"],
                "apiVersions": ["v1alpha1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["pacingpolicies", "telemetryagents"],
            }
        ],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
        "failurePolicy": "Fail",
    }
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": configuration},
        "webhooks": [hook],
    }
    kubectl("create", "-f", "-", stdin=json.dumps(document))
    arguments = (
        *("--no-leader-election", "--pod-namespace", namespace, "--webhook-host", HOST_ADDRESS),
        *("--webhook-port", str(port), "--webhook-secret", NAME, "--webhook-configuration", configuration),
    )
    try:
        with running(namespace, *arguments, kubeconfig=os.environ["KUBECONFIG"], log=log, ports=ports[1:]) as operator:
            eventually(lambda: tried(operator, example("telemetryagent")).returncode == 0)
            yield operator
    finally:
        kubectl("delete", "validatingwebhookconfiguration", configuration)


@pytest.fixture
def ports(unused_tcp_port_factory: Callable[[], int]) -> tuple[int, int, int]:
    return unused_tcp_port_factory(), unused_tcp_port_factory(), unused_tcp_port_factory()


@pytest.fixture
def asked(namespace: str, ports: tuple[int, int, int], tmp_path: Path) -> Iterator[Operator]:
    with hooked(namespace, ports=ports, log=tmp_path / "operator.log", secret={}) as operator:
        yield operator


def tried(operator: Operator, document: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = ["kubectl", "-n", operator.namespace, "apply", "--dry-run=server", *flags, "-f", "-"]
    return subprocess.run(command, input=document, capture_output=True, text=True, check=False, timeout=60)


def test_what_others_forbid_is_refused_before_it_is_written(asked: Operator) -> None:
    asked.kubectl("apply", "-f", str(ROOT / "examples"))
    known = "tokenflow_operator_admission_reviews_total"
    assert asked.metric(known) > 0

    def refused(document: str) -> str:
        return eventually(lambda: (done := tried(asked, document)).returncode and done.stderr)

    second = refused(example("telemetryagent", name="second"))
    assert f"TelemetryAgent {asked.namespace}/nodes runs agents on node1, node2, node3" in second
    assert "spec.nodeSelector" in second
    second = refused(example("pacingpolicy", name="second"))
    assert "spec.tenants" in second
    assert f"{asked.namespace}/demo" in second
    assert asked.get("pp/second") == {}


def test_what_is_worth_a_second_look_is_shown(asked: Operator) -> None:
    done = tried(asked, example("pacingpolicy", failureMode="Deny"))
    assert done.returncode == 0
    assert "Warning: spec.failureMode: with Deny" in done.stderr
    assert "Warning: spec.telemetry.agents: there is no TelemetryAgent nodes" in done.stderr


def test_a_new_authority_takes_over_without_a_failed_call(
    namespace: str, ports: tuple[int, int, int], tmp_path: Path
) -> None:
    now, failures, over = datetime.now(UTC), [], threading.Event()
    # A third of its life before the old authority ends a new one is trusted, and soon after that it issues.
    began = now - timedelta(days=250)
    bundle = renewed(None, host=HOST_ADDRESS, now=began)
    bundle = renewed(bundle, host=HOST_ADDRESS, now=began + timedelta(days=240))
    bundle = renewed(bundle, host=HOST_ADDRESS, now=now - SETTLING + timedelta(seconds=12))

    def call() -> None:
        while not over.is_set():
            done = tried(operator, example("telemetryagent"))
            if done.returncode:
                failures.append(done.stderr)

    with hooked(namespace, ports=ports, log=tmp_path / "operator.log", secret=bundle.data) as operator:
        assert shown(ports[0]) == bundle.certificate
        calling = threading.Thread(target=call)
        calling.start()
        try:
            eventually(lambda: shown(ports[0]) != bundle.certificate, within_s=90)
            reviews = operator.metric("tokenflow_operator_admission_reviews_total")
            eventually(lambda: operator.metric("tokenflow_operator_admission_reviews_total") > reviews + 5)
        finally:
            over.set()
            calling.join(timeout=60)
    assert failures == []


def shown(port: int) -> bytes:
    return ssl.get_server_certificate((HOST_ADDRESS, port), timeout=20).encode()
