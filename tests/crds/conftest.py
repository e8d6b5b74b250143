"""Fixtures of this folder."""

from collections.abc import Iterator

import pytest

from tests.conftest import Cluster
from tokenflow_api.crdgen import DIRECTORIES, RESOURCES


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with our CRDs; those that were there before stay."""
    present = cluster.kubectl("get", "crd", "-o", "name")
    for resource in RESOURCES:
        name = f"customresourcedefinition.apiextensions.k8s.io/{resource.plural}.tokenflow.io"
        if name not in present:
            cluster.kubectl("apply", "--server-side", "-f", str(DIRECTORIES[0] / f"{resource.plural}.yaml"))
            cluster.kubectl("wait", "--for=condition=Established", name, "--timeout=30s")
    yield cluster
    for resource in RESOURCES:
        name = f"customresourcedefinition.apiextensions.k8s.io/{resource.plural}.tokenflow.io"
        if name not in present:
            cluster.kubectl("delete", name, "--timeout=60s")
