"""A release of the chart in its whole life, on a real cluster; ``previous.tgz`` is the chart as it was before."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.commands import CommandError
from tests.charts.rendering import CHART, ROOT, helm
from tests.operator.running import eventually, fresh_namespace, kubectl, running

PREVIOUS = Path(__file__).parent / "previous.tgz"
CRDS = ("crd/pacingpolicies.tokenflow.io", "crd/telemetryagents.tokenflow.io")

pytestmark = pytest.mark.cluster


def uids(namespace: str, *what: str) -> list[str]:
    return kubectl("-n", namespace, "get", *what, "-o", "jsonpath={.items[*].metadata.uid}").split()


def roles(namespace: str) -> list[str]:
    """Return what releases of this namespace hold, in it and in the cluster."""
    ours = ("-l", "app.kubernetes.io/instance in (first, second)")
    names = kubectl("-n", namespace, "get", "role,clusterrole", "-o", "name", *ours).split()
    return [name for name in names if name.startswith("role.") or f"/{namespace}-" in name]


@pytest.fixture
def namespace(cluster: object) -> Iterator[str]:
    assert cluster
    with fresh_namespace() as name:
        yield name
        helm("uninstall", "first", "second", "--namespace", name, "--ignore-not-found")


def test_what_a_release_made_outlives_its_upgrade_its_end_and_its_successor(
    cluster: Any, namespace: str, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    # The operator fits no node of the cluster: one runs here, so no image is needed.
    here = ("--namespace", namespace, "--set=operator.nodeSelector.runs=nowhere")
    ours = (*here, f"--set=scope.namespace={namespace},monitoring.enabled=false")
    helm("install", "first", str(PREVIOUS), *here, "--take-ownership")
    crds = uids("", *CRDS)
    kubectl("-n", namespace, "apply", "-f", str(ROOT / "examples"))
    policies = uids(namespace, "pp,ta")

    helm("upgrade", "first", str(CHART), *ours)
    assert "servingReplicas" in kubectl("get", CRDS[0], "-o", "jsonpath={..status.properties}")
    assert roles(namespace) == [
        "role.rbac.authorization.k8s.io/first-operator-election",
        f"role.rbac.authorization.k8s.io/{namespace}-first-operator",
        f"clusterrole.rbac.authorization.k8s.io/{namespace}-first-operator-nodes",
    ]
    ports, log = (unused_tcp_port_factory(), unused_tcp_port_factory()), tmp_path / "operator.log"
    with running(namespace, "--no-leader-election", kubeconfig=str(cluster.kubeconfig), log=log, ports=ports):
        eventually(lambda: len(uids(namespace, "deploy,ds", "-l", "tokenflow.io/owner")) == 4)
    workloads = uids(namespace, "deploy,ds", "-l", "tokenflow.io/owner")

    helm("uninstall", "first", "--namespace", namespace)
    assert roles(namespace) == []
    with pytest.raises(CommandError, match="invalid ownership metadata"):
        helm("install", "second", str(CHART), *ours)
    helm("install", "second", str(CHART), *ours, "--take-ownership")
    helm("uninstall", "second", "--namespace", namespace)
    assert uids("", *CRDS) == crds
    assert uids(namespace, "pp,ta") == policies
    assert uids(namespace, "deploy,ds", "-l", "tokenflow.io/owner") == workloads
