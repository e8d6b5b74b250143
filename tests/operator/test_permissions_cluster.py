"""Least privilege, by a real API server: the operator runs with the chart's rights, and the audit log tells."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.operator.confined import ACCOUNT, NOTIFIER, Confined, confined, now
from tests.operator.leftovers import leftovers
from tests.operator.running import ROOT, Operator, eventually, fresh_namespace, kubectl, monitoring, running
from tokenflow_operator.keys import OWNER_LABEL
from tokenflow_operator.kube.objects import Manifest

pytestmark = pytest.mark.cluster

Start = Callable[[], AbstractContextManager[Operator]]

_RBAC = "rbac.authorization.k8s.io"
RESYNC_S = 3
SETTLED_S = 6
REST_S = 10
UNUSED = {
    # The chart makes the Lease: this is for when somebody deleted it.
    ("coordination.k8s.io", "leases", "create"),
}


def role(rules: list[dict[str, Any]]) -> Manifest:
    return {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": {"name": "gain"}, "rules": rules}


def binding(kind: str, name: str) -> Manifest:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "gain"},
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
    }


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confined]:
    request.getfixturevalue("crds")
    with fresh_namespace() as namespace, confined(namespace, tmp_path_factory.mktemp("confined")) as given:
        yield given


@pytest.fixture
def start(account: Confined, unused_tcp_port_factory: Callable[[], int], tmp_path: Path) -> Start:
    def started() -> AbstractContextManager[Operator]:
        ports = (unused_tcp_port_factory(), unused_tcp_port_factory())
        flags = (*account.flags, f"--resync={RESYNC_S}s", f"--webhook-port={unused_tcp_port_factory()}")
        kubeconfig, log = str(account.kubeconfig), tmp_path / "operator.log"
        return running(account.namespace, *flags, kubeconfig=kubeconfig, log=log, ports=ports)

    return started


def test_a_full_life_uses_every_right_and_needs_no_other(account: Confined, start: Start) -> None:
    since = now()
    with monitoring(), start() as operator:
        _live(operator)
    requests = account.requests(since=since)
    assert [request for request in requests if request.code in {401, 403}] == []
    elsewhere = {request.resource for request in requests if request.namespace != account.namespace}
    assert {resource for resource in elsewhere if not resource.startswith("/api")} == {
        "nodes",
        "validatingwebhookconfigurations",
    }
    used = {(request.group, request.resource, request.verb) for request in requests}
    # Server-side apply asks for the right to create, and is noted as a patch.
    used |= {(request.group, request.resource, "create") for request in requests if request.code == 201}
    granted = {(group, resource.partition(" ")[0], verb) for group, resource, verb in account.granted}
    assert granted - used == UNUSED


def _live(operator: Operator) -> None:
    """Do all to the examples that can be done to resources."""
    operator.kubectl("apply", "-f", str(ROOT / "examples"))
    operator.kubectl("create", "secret", "generic", NOTIFIER, "--from-literal=url=http://127.0.0.1:9")
    notifier = {"name": "ops", "type": "Webhook", "secretRef": {"name": NOTIFIER}}
    grown = {
        "hintService": {"autoscaling": {"maxReplicas": 4}, "redis": {"embedded": {"storage": "1Gi"}}},
        "alerts": {"for": "1s", "notifiers": [notifier]},
    }
    operator.kubectl("patch", "pp/demo", "--type=merge", "-p", json.dumps({"spec": grown}))
    eventually(lambda: operator.condition("pp/demo", "Ready") and operator.condition("ta/nodes", "Ready"))
    eventually(lambda: operator.get("hpa/demo-hintsvc") and operator.get("pvc") and operator.get("prometheusrule"))
    operator.kubectl("scale", "deployment/demo-gateway", "--replicas=0")
    eventually(lambda: operator.get("deployment/demo-gateway")["spec"]["replicas"] == 2)
    operator.kubectl("create", "-f", "-", stdin=leftovers(operator.get("pp/demo"), label={OWNER_LABEL: "pp.demo"}))
    kinds = "sa,role,rolebinding,cm,svc,netpol,pvc,deploy,ds,pdb,hpa,prometheusrule,servicemonitor,podmonitor"
    eventually(lambda: "/left\n" not in operator.kubectl("get", kinds, "-o", "name"))
    operator.kubectl("patch", "ta/nodes", "--type=merge", "-p", '{"spec": {"image": "absent:2"}}')
    eventually(lambda: "absent:2" in operator.kubectl("get", "pods", "-o", "jsonpath={..image}"))
    eventually(lambda: operator.get("pp/demo")["status"].get("notifiers"))
    operator.kubectl("delete", "pp/demo", "ta/nodes")
    eventually(lambda: not operator.kubectl("get", f"{kinds},pod", "-l", OWNER_LABEL, "-o", "name"), within_s=60)


def test_nothing_is_written_at_rest_nor_after_a_restart(account: Confined, start: Start) -> None:
    with start() as operator:
        operator.kubectl("apply", "-f", str(ROOT / "examples"))
        operator.kubectl("patch", "pp/demo", "--type=merge", "-p", '{"spec": {"alerts": {"for": "1h"}}}')
        eventually(lambda: operator.condition("pp/demo", "Ready") and operator.condition("ta/nodes", "Ready"))
        # Pods settle into backing off; what is measured is the silence after that, resyncs and all.
        eventually(lambda: not account.writes(since=now() - timedelta(seconds=SETTLED_S)), within_s=60)
        since = now()
        time.sleep(REST_S)
        assert account.writes(since=since) == []
        since = now()
    with start() as operator:
        eventually(lambda: operator.metric("tokenflow_operator_reconciles_total") >= 4)
        time.sleep(RESYNC_S)
        assert account.writes(since=since) == []
        operator.kubectl("delete", "pp/demo", "ta/nodes")


def test_it_holds_what_the_chart_gives_and_nothing_else(account: Confined) -> None:
    assert account.held(account.namespace) == account.granted
    configuration = f"validatingwebhookconfigurations {account.configuration}"
    assert account.held("kube-system") == {
        ("", "nodes", "list"),
        ("", "nodes", "watch"),
        ("admissionregistration.k8s.io", configuration, "get"),
        ("admissionregistration.k8s.io", configuration, "patch"),
    }


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (role([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]), "not currently held"),
        (role([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]), "not currently held"),
        (role([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["update"]}]), "not currently held"),
        (binding("ClusterRole", "cluster-admin"), "not currently held"),
        (binding("ClusterRole", "view"), "not currently held"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gain"}}, "cannot patch resource"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gain"}}, "cannot patch resource"),
    ],
)
def test_it_cannot_gain_what_it_does_not_hold(account: Confined, manifest: Manifest, words: str) -> None:
    asked = ("apply", "--server-side", "--validate=false", "-f", "-")
    tried = account.attempt(*asked, stdin=json.dumps(manifest))
    assert tried.returncode == 1
    assert words in tried.stderr


def test_pods_of_a_policy_need_no_privilege_and_those_of_an_agent_are_refused_where_none_is_allowed(
    account: Confined, start: Start
) -> None:
    kubectl("label", "namespace", account.namespace, "pod-security.kubernetes.io/enforce=restricted")
    with start() as operator:
        operator.kubectl("apply", "-f", str(ROOT / "examples"))
        of_policy = ("get", "pods", "-l", f"{OWNER_LABEL}=pp.demo", "-o", "name")
        eventually(lambda: len(operator.kubectl(*of_policy).split()) == 6)
        eventually(lambda: "forbidden" in operator.kubectl("get", "events", "--field-selector=reason=FailedCreate"))
        assert not operator.kubectl("get", "pods", "-l", f"{OWNER_LABEL}=ta.nodes", "-o", "name")
        operator.kubectl("delete", "pp/demo", "ta/nodes")
