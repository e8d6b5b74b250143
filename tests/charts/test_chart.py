"""The chart, by the real helm."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.settings import cache
from e2e.commands import CommandError, run

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tokenflow"


def helm(*arguments: str) -> str:
    built = cache() / "bin" / "helm"
    program = str(built) if built.exists() else shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed: 'make cluster' builds one")
    return run([program, *arguments])


def rendered(*arguments: str) -> list[dict[str, Any]]:
    # A helm that was built from its module takes itself to be for an old Kubernetes.
    text = helm("template", "tokenflow", str(CHART), "--kube-version", "1.37.0", "--namespace", "system", *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.mark.cluster
def test_lint_finds_nothing(cluster: object) -> None:
    assert cluster
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.cluster
def test_crds_are_kept_on_uninstall(cluster: object) -> None:
    assert cluster
    crds = [one for one in rendered() if one["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 2
    assert all(one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for one in crds)
    assert not [one for one in rendered("--set", "crds.enabled=false") if one["kind"] == "CustomResourceDefinition"]


@pytest.mark.cluster
def test_the_operator_holds_no_wildcard_and_reads_no_secrets(cluster: object) -> None:
    assert cluster
    rules = [rule for one in rendered() if one["kind"] in {"Role", "ClusterRole"} for rule in one["rules"]]
    assert rules
    for rule in rules:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert "secrets" not in rule["resources"]


@pytest.mark.cluster
def test_the_operator_runs_with_nothing_it_does_not_need(cluster: object) -> None:
    assert cluster
    (deployment,) = [one for one in rendered() if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.cluster
@pytest.mark.parametrize("value", ["imagePullPolicy=Sometimes", "operator.replicas=10", "nonsense=1"])
def test_wrong_values_are_refused(cluster: object, value: str) -> None:
    assert cluster
    with pytest.raises(CommandError, match="values don't meet the specifications"):
        rendered("--set", value)


@pytest.mark.cluster
def test_a_digest_wins_over_the_tag(cluster: object) -> None:
    assert cluster
    digest = f"sha256:{'a' * 64}"
    (deployment,) = [
        one for one in rendered("--set", f"images.operator.digest={digest}") if one["kind"] == "Deployment"
    ]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f"@{digest}")


@pytest.mark.cluster
def test_one_of_two_replicas_can_always_lead(cluster: object) -> None:
    assert cluster
    documents = rendered()
    (deployment,) = [one for one in documents if one["kind"] == "Deployment"]
    (lease,) = [one for one in documents if one["kind"] == "Lease"]
    (budget,) = [one for one in documents if one["kind"] == "PodDisruptionBudget"]
    spec = deployment["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == spec["selector"]
    environment = {one["name"]: one.get("value") for one in spec["template"]["spec"]["containers"][0]["env"]}
    assert environment["TOKENFLOW_LEASE_NAME"] == lease["metadata"]["name"]
    # What the chart says nothing of, an upgrade does not take from its holder.
    assert "spec" not in lease
    assert not [one for one in rendered("--set", "operator.replicas=1") if one["kind"] == "PodDisruptionBudget"]
