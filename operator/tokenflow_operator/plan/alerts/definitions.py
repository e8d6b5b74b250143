"""What an alert is, and where the page about it stands."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tokenflow_operator.plan.alerts.scope import Scope


class AlertSeverity(StrEnum):
    """How soon somebody should look."""

    CRITICAL = "Critical"
    """Now: streams suffer, or nothing looks after them."""
    WARNING = "Warning"
    """Today: it will get worse, or something is missing."""
    INFO = "Info"
    """When there is time: it works as asked for, and somebody may want to know."""


class AlertName(StrEnum):
    """The names of all alerts. Each is a heading of docs/alerts.md."""

    TOKEN_FLOW_HEALTH_LOW = "TokenFlowHealthLow"  # noqa: S105 - tokens of a model
    HINT_SERVICE_DOWN = "HintServiceDown"
    HINT_SERVICE_NO_LEADER = "HintServiceNoLeader"
    GATEWAY_DOWN = "GatewayDown"
    CONFIG_REFUSED = "ConfigRefused"
    QUOTA_UNREACHABLE = "QuotaUnreachable"
    QUOTA_EXHAUSTED = "QuotaExhausted"
    MODEL_DRIFT = "ModelDrift"
    CERTIFICATE_EXPIRING = "CertificateExpiring"
    API_KEY_EXPIRING = "APIKeyExpiring"
    GPU_UTILIZATION_HIGH = "GPUUtilizationHigh"
    GPU_MEMORY_HIGH = "GPUMemoryHigh"
    SOCKET_BACKLOG_HIGH = "SocketBacklogHigh"
    RETRANSMITS_HIGH = "RetransmitsHigh"
    AGENT_DEGRADED = "AgentDegraded"
    AGENT_MISSING = "AgentMissing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        expression: PromQL that has a series for as long as the alert's condition holds.
        summary: what is wrong, in words that hold whatever the numbers are.
        description: the same with labels and value, as a template of Prometheus.
        remedy: what to do.
        of_agents: whether it speaks of agents' series, and so only where a policy names agents.
    """

    name: AlertName
    severity: AlertSeverity
    expression: Callable[[Scope], str]
    summary: str
    description: str
    remedy: str
    of_agents: bool = False


def runbook(name: AlertName, *, docs_url: str) -> str:
    """Return where the page about an alert stands.

    Args:
        name: of the alert.
        docs_url: where the documentation is published.
    """
    return f"{docs_url.rstrip('/')}/alerts.md#{name.lower()}"
