"""What the gateway is given of its upstreams."""

from typing import Any

from tests.operator.builders import example, plan_of, policy, policy_snapshot
from tokenflow_api.pacing_policy import PacingPolicySpec

KEYED = {"name": "hosted", "url": "https://llm.example", "apiKeySecretRef": {"name": "hosted-key"}}
OTHER = {"name": "second", "url": "https://llm.example", "apiKeySecretRef": {"name": "second-key"}}
OPEN = {"name": "vllm", "url": "http://vllm.llm.svc:8000"}


def pod(*upstreams: dict[str, Any], **fields: Any) -> dict[str, Any]:
    document = example("pacingpolicy.yaml") | {"gateway": {"upstreams": list(upstreams)}} | fields
    spec = PacingPolicySpec.model_validate(document)
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


def test_the_gateway_serves_with_the_policys_certificate_and_sees_no_more_of_that_secret() -> None:
    security = {"tlsSecretRef": {"name": "demo-tls"}}
    (volume,) = [one for one in pod(OPEN, security=security)["volumes"] if one["name"] == "tls"]
    items = [{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}]
    assert volume["secret"] == {"secretName": "demo-tls", "optional": True, "items": items}
    (container,) = pod(OPEN, security=security)["containers"]
    assert "--tls-dir=/etc/tokenflow/tls" in container["args"]
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_a_gateway_without_a_certificate_serves_in_clear() -> None:
    (container,) = pod(OPEN)["containers"]
    assert not [argument for argument in container["args"] if argument.startswith("--tls-dir")]
    assert "scheme" not in container["readinessProbe"]["httpGet"]
