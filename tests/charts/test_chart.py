"""The chart, by the real helm."""

import re

import pytest

from e2e.commands import CommandError
from tests.charts.rendering import CHART, helm, rendered, template


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
def test_an_operator_without_a_replica_is_refused_by_name(cluster: object) -> None:
    assert cluster
    with pytest.raises(CommandError, match=r"(?s)/operator/replicas.*minimum: got 0, want 1"):
        rendered("--set", "operator.replicas=0")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kube-version=1.28.0"], "chart requires kubeVersion: >=1."),
        (
            ["--set=scope.namespace=llm,notifierSecrets[0].namespace=other,notifierSecrets[0].names={ops}"],
            'namespace "other" is none that the operator looks after: write "llm"',
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(cluster: object, arguments: list[str], words: str) -> None:
    assert cluster
    with pytest.raises(CommandError, match=re.escape(words)):
        rendered(*arguments)


@pytest.mark.cluster
def test_a_release_for_one_namespace_holds_nothing_elsewhere(cluster: object) -> None:
    assert cluster
    roles = [one for one in rendered("--set=scope.namespace=llm,scope.nodes=false") if "Role" in one["kind"]]
    assert {(one["kind"], one["metadata"]["namespace"]) for one in roles} == {
        ("Role", "llm"),
        ("RoleBinding", "llm"),
        ("Role", "system"),
        ("RoleBinding", "system"),
    }


@pytest.mark.cluster
def test_people_see_both_kinds_and_write_what_runs_nothing_on_nodes(cluster: object) -> None:
    assert cluster
    aggregated = {
        label.removeprefix("rbac.authorization.k8s.io/aggregate-to-"): one["rules"]
        for one in rendered()
        for label in one["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/")
    }
    assert {role: [rule["resources"] for rule in rules] for role, rules in aggregated.items()} == {
        "view": [["pacingpolicies", "telemetryagents"]],
        "edit": [["pacingpolicies"]],
    }
    assert [rule["verbs"] for rule in aggregated["view"]] == [["get", "list", "watch"]]


@pytest.mark.cluster
def test_all_images_come_from_one_registry_where_one_is_named(cluster: object) -> None:
    assert cluster
    images = [
        line.split("image: ")[-1].strip()
        for line in template("--set=imageRegistry=mirror:5000/x").splitlines()
        if "mirror:5000" in line
    ]
    assert {image.removeprefix("value: ") for image in images} == {
        "mirror:5000/x/tokenflow/operator:0.1.0",
        "mirror:5000/x/tokenflow/agent:0.1.0",
        "mirror:5000/x/tokenflow/hintsvc:0.1.0",
        "mirror:5000/x/library/redis:7.4-bookworm",
    }


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
