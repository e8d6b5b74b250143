"""Who may speak for whom: an agent for its own TelemetryAgent and node, a gateway for its own pod."""

import re
from typing import Final

from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_api.serving.tokens import ServiceAccount
from tokenflow_api.telemetry import Reporter, TelemetryBatch

_ROLES: Final = {Reporter.AGENT: Role.AGENT, Reporter.GATEWAY: Role.GATEWAY}
_POD_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def objection(batch: TelemetryBatch, account: ServiceAccount | None, config: RuntimeConfig) -> str:
    """Return why ``account`` may not deliver ``batch``; empty where it may.

    A token that is bound to a pod or a node speaks for no other.
    """
    role = _ROLES[batch.reporter]
    grants = [
        grant
        for grant in config.grants
        if account and (grant.namespace, grant.service_account, grant.role) == (account.namespace, account.name, role)
    ]
    if account is None or not grants:
        return f"this needs the role {role}"
    if batch.reporter is Reporter.GATEWAY:
        if batch.agent or not _POD_NAME.fullmatch(batch.node):
            return "a gateway names its pod as node, and no agent"
        return "this token is of another pod" if account.pod not in ("", batch.node) else ""
    # A grant of an operator that knows no names of agents binds to none.
    if not any(not grant.agent or f"{grant.namespace}/{grant.agent}" == batch.agent for grant in grants):
        return f"this service account does not speak for the agent {batch.agent!r}"
    return "this token is of another node" if account.node not in ("", batch.node) else ""
