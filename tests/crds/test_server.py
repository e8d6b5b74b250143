"""What the real API server makes of our models."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e.commands import CommandError
from tests.conftest import Cluster
from tests.crds.test_invalid_manifests import AGENT, POLICY
from tokenflow_api.pacing_policy import Pacing, PacingPolicy
from tokenflow_api.telemetry_agent import TelemetryAgent

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("plural", ["pacingpolicies", "telemetryagents"])
def test_the_schema_is_structural(crds: Cluster, plural: str) -> None:
    crd = json.loads(crds.kubectl("get", "crd", f"{plural}.tokenflow.io", "-o", "json"))
    conditions = {entry["type"]: entry["status"] for entry in crd["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(("manifest", "model"), [(POLICY, PacingPolicy), (AGENT, TelemetryAgent)])
def test_the_server_fills_in_the_models_defaults(
    crds: Cluster, manifest: dict[str, object], model: type[PacingPolicy] | type[TelemetryAgent]
) -> None:
    answer = crds.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(manifest))
    ours = model.model_validate(manifest).spec.model_dump(mode="json", exclude_none=True)
    assert json.loads(answer)["spec"] == ours


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(least=st.integers(1, 100), most=st.integers(1, 100), fallback=st.integers(1, 100))
def test_server_and_model_agree_on_a_rule(crds: Cluster, least: int, most: int, fallback: int) -> None:
    pacing = {"minTokensPerSecond": least, "maxTokensPerSecond": most, "fallbackTokensPerSecond": fallback}
    manifest = {**POLICY, "spec": {**POLICY["spec"], "pacing": pacing}}
    try:
        Pacing.model_validate(pacing)
        ours = True
    except ValueError:
        ours = False
    try:
        crds.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
        theirs = True
    except CommandError:
        theirs = False
    assert ours == theirs
