"""Policies and requests for the tests of who asks."""

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import Grant, Role, RuntimeConfig
from tokenflow_gateway.front.exchange import Request

TENANTS = [
    {"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}},
    {"name": "silver", "apiKeysSecretRef": {"name": "silver-keys"}},
    {"name": "free"},
]
JWT = {"issuer": "https://issuer.example", "audience": "tokenflow", "jwksURL": "https://issuer.example/keys"}
READER = "192.0.2.7"


def config(*, generation: int = 1, tenants: object = TENANTS, **security: object) -> RuntimeConfig:
    spec: dict[str, object] = {
        "tenants": tenants,
        "gateway": {"upstreams": [{"name": "llama", "url": "http://llama"}]},
        "security": security,
    }
    return RuntimeConfig(
        namespace="default",
        name="demo",
        uid="policy-1",
        generation=generation,
        spec=PacingPolicySpec.model_validate(spec),
        grants=[
            Grant(namespace="default", service_account="operator", role=Role.OPERATOR),
            Grant(namespace="default", service_account="demo-gateway", role=Role.GATEWAY),
        ],
    )


async def _no_body(*, most: int, within_s: float) -> bytes:
    del most, within_s
    return b""


def request(secret: str = "", *, peer: str = READER, **headers: str) -> Request:
    """Return a request with a bearer secret, and with headers whose names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if secret:
        named["authorization"] = f"Bearer {secret}"
    return Request(method="POST", path="/v1/chat/completions", headers=named, peer=peer, read=_no_body)
