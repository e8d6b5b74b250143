"""The runtime config: one document that a policy's programs run by.

It embeds the spec as it stands rather than a translation of it, so that there is one set
of models, one set of defaults and one place to look a field up.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from tokenflow_api._base import WireModel
from tokenflow_api.meta import Name
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry import AgentConfig

SCHEMA: Final = 1
TOKEN_AUDIENCE: Final = "tokenflow-hintsvc"  # noqa: S105 - an audience, not a secret
RUNTIME_KEY: Final = "runtime.json"
"""Key of the document in the policy's ConfigMap."""
AGENT_CONFIG_KEY: Final = "agent.json"
"""Key of the document in a TelemetryAgent's ConfigMap."""


class Role(StrEnum):
    """What a service account may do at the hint service."""

    AGENT = "Agent"
    """Deliver telemetry."""
    GATEWAY = "Gateway"
    """Deliver telemetry, read every tenant's hints and the runtime config."""
    OPERATOR = "Operator"
    """Read the state of the cluster."""


class Grant(WireModel):
    """One role of one service account.

    ``agent`` is the TelemetryAgent, of the same namespace, that it may speak for; empty binds it to none, as
    operators of the first release write it.
    """

    namespace: Name
    service_account: str
    role: Role
    agent: str = ""


class RuntimeConfig(WireModel):
    """What the hint service and the gateway of one policy run by."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    namespace: Name
    name: Name
    uid: str
    generation: Annotated[int, Field(ge=1)]
    spec: PacingPolicySpec
    agents: Annotated[list[AgentConfig], Field(max_length=8)] = []
    grants: Annotated[list[Grant], Field(max_length=64)] = []
