import pytest
from aiohttp.test_utils import make_mocked_request

from e2e.faults.asked import Asked, asked


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", "/api/v1/nodes", "list", "nodes"),
        ("GET", "/api/v1/nodes?watch=true", "watch", "nodes"),
        ("GET", "/api/v1/nodes/fake-1", "get", "nodes"),
        ("POST", "/api/v1/namespaces", "create", "namespaces"),
        ("GET", "/api/v1/namespaces/a/configmaps/b", "get", "configmaps"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b?force=true", "patch", "deployments"),
        (
            "PATCH",
            "/apis/tokenflow.io/v1alpha1/namespaces/a/pacingpolicies/b/status",
            "patch",
            "pacingpolicies/status",
        ),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "update", "leases"),
        ("DELETE", "/api/v1/namespaces/a/pods/b", "delete", "pods"),
        ("GET", "/apis/monitoring.coreos.com/v1", "list", ""),
    ],
)
def test_what_a_request_is_about(method: str, path: str, verb: str, resource: str) -> None:
    assert asked(make_mocked_request(method, path)) == Asked(verb=verb, resource=resource)


def test_only_reads_change_nothing() -> None:
    verbs = ("get", "list", "watch", "create", "patch", "update", "delete")
    assert [Asked(verb=verb, resource="pods").writes for verb in verbs] == [False] * 3 + [True] * 4
