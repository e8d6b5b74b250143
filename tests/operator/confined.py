"""The operator with exactly the rights that the chart gives it, and what the API server saw of it."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster import audit
from e2e.cluster.settings import Layout, cache
from e2e.commands import run
from tests.operator.running import ROOT, kubectl

RELEASE = "tokenflow"
ACCOUNT = f"{RELEASE}-operator"
NOTIFIER = "ops"
"""Name of the one Secret that the chart is told to let the operator read."""
SHOWN = ("serviceaccount", "rbac", "ha", "webhook")

Right = tuple[str, str, str]
"""API group, resource and verb; a right to some names alone has these behind the resource."""


def rights(rules: Iterable[dict[str, Any]]) -> set[Right]:
    """Return what roles' rules allow."""
    return {
        (group, " ".join([resource, *rule.get("resourceNames", [])]), verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@dataclass(frozen=True, kw_only=True)
class Confined:
    """A namespace in which a service account holds the chart's rights.

    Attributes:
        kubeconfig: with a token of that service account.
        granted: all that the chart gives it there.
    """

    namespace: str
    kubeconfig: Path
    granted: set[Right]

    @property
    def configuration(self) -> str:
        """Return the name of the one ValidatingWebhookConfiguration that it may read and patch."""
        return f"{self.namespace}-{ACCOUNT}-webhook"

    @property
    def flags(self) -> tuple[str, ...]:
        """Return how the operator is told what the chart's Deployment tells it."""
        webhook = f"{ACCOUNT}-webhook"
        return (
            *("--pod-namespace", self.namespace, "--service-account", ACCOUNT, "--lease-name", ACCOUNT),
            *("--webhook-host", f"{webhook}.{self.namespace}.svc", "--webhook-secret", webhook),
            *("--webhook-configuration", self.configuration),
        )

    def requests(self, *, since: datetime) -> list[audit.Request]:
        """Return what the API server was asked by the service account."""
        user = f"system:serviceaccount:{self.namespace}:{ACCOUNT}"
        return list(audit.requests(Layout(cache=cache()).audit_log, user=user, since=since))

    def writes(self, *, since: datetime) -> list[audit.Request]:
        """Return its requests that were to change something, but for the Lease that it renews."""
        return [request for request in self.requests(since=since) if request.writes and request.resource != "leases"]

    def held(self, namespace: str) -> set[Right]:
        """Return what the API server says that it may do in a namespace, besides what everybody may."""
        nobody = "--as=system:serviceaccount:kube-public:nobody"
        return self._reviewed(namespace, f"--kubeconfig={self.kubeconfig}") - self._reviewed(namespace, nobody)

    @staticmethod
    def _reviewed(namespace: str, who: str) -> set[Right]:
        review = json.dumps({"spec": {"namespace": namespace}})
        reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        answer = kubectl(who, "create", "--raw", reviews, "-f", "-", stdin=review)
        return rights(json.loads(answer)["status"]["resourceRules"])

    def attempt(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl in the service account's name."""
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def confined(namespace: str, directory: Path) -> Iterator[Confined]:
    """Give a service account of the namespace the rights of a chart whose scope is that namespace."""
    if not Layout(cache=cache()).audit_log.exists():
        pytest.skip("the cluster that was given keeps no audit log here")
    chart = ["helm", "template", RELEASE, str(ROOT / "charts" / "tokenflow"), "--kube-version=1.37.0"]
    shown = [f"--show-only=templates/{name}.yaml" for name in SHOWN]
    values = (
        f"--set=scope.namespace={namespace},webhook.enabled=true",
        f"--set=notifierSecrets[0].namespace={namespace},notifierSecrets[0].names={{{NOTIFIER}}}",
    )
    rendered = run([*chart, f"--namespace={namespace}", *values, *shown])
    kubectl("apply", "-f", "-", stdin=rendered)
    kubeconfig = json.loads(kubectl("config", "view", "--raw", "-o", "json"))
    kubeconfig["users"][0]["user"] = {"token": kubectl("-n", namespace, "create", "token", ACCOUNT).strip()}
    path = directory / f"{namespace}.kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    roles = [one for one in yaml.safe_load_all(rendered) if one and one["kind"] in {"Role", "ClusterRole"}]
    try:
        yield Confined(namespace=namespace, kubeconfig=path, granted=rights(r for one in roles for r in one["rules"]))
    finally:
        kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=rendered)
