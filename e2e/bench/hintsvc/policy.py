"""The policy that is measured: its tenants, their keys, and who else may talk to the service."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from e2e.bench.hintsvc.issuer import NAMESPACE, grants
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig

TENANTS: Final = ("gold", "silver", "bronze", "batch", "trial")
UPSTREAM: Final = "llama"
UID: Final = "bench-policy"
MOST_TOKENS_PER_SECOND: Final = 80


def api_key(tenant: str) -> str:
    """Return the API key of a tenant."""
    return f"tfk_bench-{tenant}-0123456789abcdefghijklmnopqrstuvwxyz"


def write_policy(directory: Path, *, spec: Mapping[str, Any] | None = None) -> None:
    """Write the runtime config and the tenants' keys below ``directory``, as they are mounted into a replica.

    Args:
        directory: where ``runtime.json`` and ``tenants`` come to be.
        spec: fields of the policy's spec that differ.
    """
    for tenant in TENANTS:
        keys = directory / "tenants" / tenant
        keys.mkdir(parents=True, exist_ok=True)
        (keys / "bench").write_text(api_key(tenant))
    base: dict[str, Any] = {
        "pacing": {"maxTokensPerSecond": MOST_TOKENS_PER_SECOND},
        # One address sends all of the load, with one key.
        "security": {"requestsPerSecondPerIP": 100_000, "requestsPerSecondPerKey": 100_000},
        "tenants": [
            {
                "name": tenant,
                "tokensPerMinute": 10_000_000,
                "requestsPerMinute": 1_000_000,
                "apiKeysSecretRef": {"name": f"{tenant}-keys"},
            }
            for tenant in TENANTS
        ],
        "gateway": {"upstreams": [{"name": UPSTREAM, "url": "http://llama.invalid"}]},
    }
    config = RuntimeConfig(
        namespace=NAMESPACE,
        name="bench",
        uid=UID,
        generation=1,
        spec=PacingPolicySpec.model_validate(base | dict(spec or {})),
        grants=grants(),
    )
    (directory / "runtime.json").write_text(config.model_dump_json())
