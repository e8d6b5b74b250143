"""The reasons of conditions and Events, one list for both resources, and what is known to lie behind each.

A problem is blocking when what the resource promises is not kept at all: Ready is then false.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    SERVING = "Serving"
    """All is as the present generation asks for."""
    MEASURING = "Measuring"
    """Every node that should run an agent does."""
    UP_TO_DATE = "UpToDate"
    """Nothing is under way."""
    NOTHING_WRONG = "NothingWrong"
    """Nothing is degraded."""

    PREVIOUS_BEING_DELETED = "PreviousBeingDeleted"
    REDIS_STARTING = "RedisStarting"
    HINT_SERVICE_STARTING = "HintServiceStarting"
    GATEWAY_STARTING = "GatewayStarting"
    AGENTS_STARTING = "AgentsStarting"
    ROLLING_OUT = "RollingOut"
    ROLLING_BACK = "RollingBack"
    ROLLOUT_PAUSED = "RolloutPaused"
    REPLICAS_NOT_ACKNOWLEDGED = "ReplicasNotAcknowledged"

    INVALID_SPEC = "InvalidSpec"
    CONFLICT = "Conflict"
    FIELD_CONFLICT = "FieldConflict"
    APPLY_REFUSED = "ApplyRefused"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    PODS_FAILING = "PodsFailing"
    HINT_SERVICE_UNREACHABLE = "HintServiceUnreachable"
    HINT_SERVICE_REFUSED = "HintServiceRefused"
    CONFIG_REFUSED = "ConfigRefused"
    NO_LEADER = "NoLeader"
    NO_MATCHING_NODES = "NoMatchingNodes"
    AGENT_NOT_FOUND = "AgentNotFound"
    NO_TELEMETRY = "NoTelemetry"
    TENANT_KEYS_MISSING = "TenantKeysMissing"
    CERTIFICATE_UNUSABLE = "CertificateUnusable"
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    PODS_REFUSED = "PodsRefused"
    NODES_DEGRADED = "NodesDegraded"
    NODES_OVERLAP = "NodesOverlap"
    ROLLOUT_FAILED = "RolloutFailed"
    ROLLED_BACK = "RolledBack"
    TOO_MANY_POLICIES = "TooManyPolicies"
    TENANT_CLAIMED_TWICE = "TenantClaimedTwice"
    UPSTREAM_CLAIMED_TWICE = "UpstreamClaimedTwice"
    STORAGE_FIXED = "StorageFixed"
    NOTIFIER_SECRET_UNREADABLE = "NotifierSecretUnreadable"  # noqa: S105 - a reason
    NOTIFIER_FAILING = "NotifierFailing"
    AUTOSCALING_INACTIVE = "AutoscalingInactive"


class Severity(StrEnum):
    """What a problem means for the resource."""

    PROGRESSING = "Progressing"
    """It is under way: not ready yet, nothing to do but wait."""
    BLOCKING = "Blocking"
    """It is not served, and will not be by waiting alone."""
    DEGRADED = "Degraded"
    """It is served, with less than asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that is not as it was asked for. The message says what to do."""

    reason: Reason
    severity: Severity
    message: str
