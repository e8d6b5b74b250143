"""Settings that are allowed and may still not be meant."""

from collections.abc import Iterator

from tokenflow_api.pacing_policy import FailureMode, PacingPolicySpec
from tokenflow_api.telemetry_agent import AgentSecurity, TelemetryAgentSpec


def policy_risks(spec: PacingPolicySpec) -> Iterator[str]:
    """Yield what is worth a second look in a policy."""
    if spec.failure_mode is FailureMode.DENY:
        yield "spec.failureMode: with Deny every request is refused while Redis is out of reach"
    if spec.hint_service.replicas == 1:
        yield "spec.hintService.replicas: with 1 hints drift to the fallback whenever that pod is replaced"
    if spec.gateway.replicas == 1:
        yield "spec.gateway.replicas: with 1 nobody is served whenever that pod is replaced"
    if any(tenant.api_keys_secret_ref for tenant in spec.tenants):
        open_tenants = [tenant.name for tenant in spec.tenants if tenant.api_keys_secret_ref is None]
        if open_tenants:
            yield f"spec.tenants: {open_tenants[0]} has no apiKeysSecretRef: whoever reaches the gateway can be it"


def agent_risks(spec: TelemetryAgentSpec) -> Iterator[str]:
    """Yield what is worth a second look in a TelemetryAgent."""
    if spec.security is AgentSecurity.PRIVILEGED:
        yield "spec.security: Privileged pods may do anything on their node: Capabilities suffices on most kernels"
    if not spec.rollout.auto_rollback:
        yield "spec.rollout.autoRollback: without it a revision that fails stays until somebody mends it"
