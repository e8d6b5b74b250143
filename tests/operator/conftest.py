"""A real API server with our CRDs, and the operator as a process that looks after one namespace of it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.operator.running import (
    ABSENT,
    ROOT,
    Operator,
    fresh_namespace,
    kubectl,
    operators_of_all_namespaces,
    running,
    with_examples,
)


@pytest.fixture(scope="session")
def crds(request: pytest.FixtureRequest) -> Iterator[None]:
    request.getfixturevalue("cluster")
    if operators_of_all_namespaces():
        pytest.skip("another operator looks after this cluster: uninstall it first")
    missing = [str(crd) for crd in (ROOT / "crds").glob("*.yaml") if not kubectl("get", "-f", str(crd), *ABSENT)]
    # Those that are there may be of an older model.
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl(
        "wait", "--for=condition=Established", "crd/pacingpolicies.tokenflow.io", "crd/telemetryagents.tokenflow.io"
    )
    yield
    for crd in missing:
        kubectl("delete", "-f", crd)


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    request.getfixturevalue("crds")
    with fresh_namespace() as name:
        yield name


@pytest.fixture
def operator(namespace: str, unused_tcp_port_factory: Callable[[], int], tmp_path: Path) -> Iterator[Operator]:
    ports, log = (unused_tcp_port_factory(), unused_tcp_port_factory()), tmp_path / "operator.log"
    kubeconfig = os.environ["KUBECONFIG"]
    with running(namespace, "--no-leader-election", kubeconfig=kubeconfig, log=log, ports=ports) as started:
        yield started


@pytest.fixture
def applied(operator: Operator) -> Operator:
    return with_examples(operator)
