"""What the gateway is given of its upstreams."""

from typing import Any

from tests.operator.builders import example, plan_of, policy, policy_snapshot
from tokenflow_api.pacing_policy import PacingPolicySpec

KEYED = {"name": "hosted", "url": "https://llm.example", "apiKeySecretRef": {"name": "hosted-key"}}
OTHER = {"name": "second", "url": "https://llm.example", "apiKeySecretRef": {"name": "second-key"}}
OPEN = {"name": "vllm", "url": "http://vllm.llm.svc:8000"}


def pod(*upstreams: dict[str, Any]) -> dict[str, Any]:
    spec = PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | {"gateway": {"upstreams": list(upstreams)}})
    applied = plan_of(policy_snapshot(policy(spec))).apply
    (deployment,) = [
        one for one in applied if one["metadata"]["name"] == "demo-gateway" and one["kind"] == "Deployment"
    ]
    template: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return template


def test_only_the_key_itself_of_an_upstreams_secret_is_mounted_and_it_may_come_later() -> None:
    (volume,) = [one for one in pod(OPEN, KEYED)["volumes"] if one["name"] == "upstream-keys"]
    items = [{"key": "apiKey", "path": "hosted/apiKey"}]
    assert volume["projected"] == {"sources": [{"secret": {"name": "hosted-key", "optional": True, "items": items}}]}


def test_the_order_of_upstreams_restarts_no_gateway() -> None:
    assert pod(KEYED, OPEN, OTHER) == pod(OTHER, KEYED, OPEN)


def test_upstreams_without_keys_need_no_volume() -> None:
    assert "upstream-keys" not in [volume["name"] for volume in pod(OPEN)["volumes"]]
