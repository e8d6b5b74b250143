"""What the plans of any policy and agent give to whoever may write these, read from the golden files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenflow_api.pacing_policy import PacingPolicy
from tokenflow_api.telemetry_agent import TelemetryAgent

GOLDEN = Path(__file__).parents[1] / "golden"
RENDERED = {path.stem: list(yaml.safe_load_all(path.read_text())) for path in sorted(GOLDEN.glob("*.yaml"))}
OF_POLICIES = {name: objects for name, objects in RENDERED.items() if name.startswith("policy")}
POWERFUL = {"serviceAccountName", "command", "args", "env", "volumes", "hostPath", "hostNetwork", "namespace"}
"""Fields by which a person could have the operator do in their name what they may not do themselves."""


def pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (one["spec"]["template"]["spec"] for one in objects if one["kind"] in {"Deployment", "DaemonSet"})


@pytest.mark.parametrize("name", RENDERED)
def test_every_object_is_in_the_namespace_of_its_resource(name: str) -> None:
    assert {one["metadata"]["namespace"] for one in RENDERED[name]} == {"default"}


@pytest.mark.parametrize("name", RENDERED)
def test_roles_let_hint_services_watch_their_own_config_and_no_more(name: str) -> None:
    for one in RENDERED[name]:
        if one["kind"] == "Role":
            names, verbs = ["demo-runtime"], ["get", "list", "watch"]
            assert one["rules"] == [
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": names, "verbs": verbs}
            ]
        if one["kind"] == "RoleBinding":
            assert one["roleRef"]["kind"] == "Role"
            assert one["subjects"] == [{"kind": "ServiceAccount", "name": "demo-hintsvc", "namespace": "default"}]
        assert one["kind"] not in {"ClusterRole", "ClusterRoleBinding", "Secret"}


@pytest.mark.parametrize("name", RENDERED)
def test_only_the_hint_service_may_talk_to_the_api_server(name: str) -> None:
    for pod in pods(RENDERED[name]):
        (container,) = pod["containers"]
        assert pod["automountServiceAccountToken"] == (container["name"] == "hintsvc")


@pytest.mark.parametrize("name", OF_POLICIES)
def test_pods_of_policies_see_nothing_of_their_node(name: str) -> None:
    for pod in pods(OF_POLICIES[name]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
        for container in pod["containers"]:
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})


@pytest.mark.parametrize("model", [PacingPolicy, TelemetryAgent])
def test_no_field_names_an_account_a_command_or_another_namespace(model: Any) -> None:
    definitions = model.model_json_schema()["$defs"]
    fields = {field for definition in definitions.values() for field in definition.get("properties", {})}
    assert not fields & POWERFUL
