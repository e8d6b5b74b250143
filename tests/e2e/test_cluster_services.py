"""The cluster as its users see it: from this machine, through kubectl, and over the network."""

import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.cluster.settings import (
    API_SERVICE_ADDRESS,
    DNS_SERVICE_ADDRESS,
    PAUSE_IMAGE,
    Layout,
    cache,
)

pytestmark = pytest.mark.cluster
PATIENCE_S = 60.0


@pytest.fixture
def bare(cluster: Any) -> Any:
    """Skip on a cluster that was not made here."""
    if cluster.kubeconfig != Layout(cache=cache()).kubeconfig:
        pytest.skip("this cluster is not one of e2e.cluster")
    return cluster


@pytest.fixture
def namespace(cluster: Any) -> Iterator[str]:
    name = f"cluster-test-{time.monotonic_ns()}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def eventually(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s"
        time.sleep(0.2)
    return found


def test_every_node_runs_a_pod(bare: Any, namespace: str) -> None:
    labels = {"app": "pause"}
    pod = {"containers": [{"name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    document = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "pause"}, "spec": spec}
    bare.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(document))

    def running() -> set[str]:
        pods = json.loads(bare.kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
        return {pod["spec"]["nodeName"] for pod in pods if pod["status"]["phase"] == "Running"}

    eventually(lambda: running() == {"node1", "node2", "node3"})


@pytest.mark.usefixtures("bare")
def test_the_dns_service_answers() -> None:
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    query += b"".join(
        bytes([len(label)]) + label.encode() for label in ("kubernetes", "default", "svc", "cluster", "local")
    )
    query += b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5.0)
        client.sendto(query, (DNS_SERVICE_ADDRESS, 53))
        answer = client.recv(512)
    assert socket.inet_ntoa(answer[-4:]) == API_SERVICE_ADDRESS


@pytest.mark.usefixtures("bare")
def test_the_api_server_answers_at_its_service_address() -> None:
    trust = ssl.create_default_context(cafile=str(Layout(cache=cache()).pki / "ca.crt"))
    with urllib.request.urlopen(f"https://{API_SERVICE_ADDRESS}/version", timeout=10, context=trust) as answer:
        assert json.load(answer)["gitVersion"] == "v1.37.1"


@pytest.mark.usefixtures("bare")
def test_up_again_changes_nothing() -> None:
    kubeconfig = Layout(cache=cache()).kubeconfig
    before = kubeconfig.stat().st_mtime_ns
    done = subprocess.run(
        [sys.executable, "-m", "e2e.cluster", "up"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"export KUBECONFIG={kubeconfig}"
    assert kubeconfig.stat().st_mtime_ns == before


@pytest.mark.usefixtures("bare")
def test_a_cluster_of_another_size_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "e2e.cluster", "up", "--nodes", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, "a cluster of 3 nodes is up" in done.stderr) == (1, True)
