"""The resources as they stand, and whether each is well."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from tokenflow_api import pacing_policy, telemetry_agent
from tokenflow_api.meta import GROUP, Condition, ConditionStatus
from tokenflow_api.pacing_policy import PacingPolicyStatus
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.errors import InvalidError

POLICIES: Final = f"{pacing_policy.PLURAL}.{GROUP}"
AGENTS: Final = f"{telemetry_agent.PLURAL}.{GROUP}"

_READY: Final = "Ready"
_DEGRADED: Final = "Degraded"
_IS_IT_RUNNING: Final = "kubectl get deployments -A -l app.kubernetes.io/name=tokenflow-operator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A resource as it stands.

    Attributes:
        status: what the operator says of it.
        complaints: what is wrong with it and what to do, one sentence each; empty where it is well.
    """

    kind: str
    namespace: str
    name: str
    generation: int
    created_at: str
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    status: PacingPolicyStatus | TelemetryAgentStatus
    complaints: tuple[str, ...]

    @property
    def place(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @property
    def ready(self) -> Condition | None:
        """The condition that sums up."""
        return _condition(self.status, _READY)


def read(kubectl: Kubectl, *, everywhere: bool) -> list[Seen]:
    """Return all resources of both kinds, by kind and place.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: they could not be read.
    """
    found = [seen(manifest) for manifest in kubectl.items((POLICIES, AGENTS), everywhere=everywhere)]
    return sorted(found, key=lambda resource: (resource.kind, resource.place))


def seen(manifest: Mapping[str, Any]) -> Seen:
    """Return a resource as it stands.

    Raises:
        InvalidError: its status is not of a release that the plugin knows.
    """
    kind, meta = manifest["kind"], manifest["metadata"]
    model = PacingPolicyStatus if kind == pacing_policy.KIND else TelemetryAgentStatus
    try:
        status = model.model_validate(manifest.get("status", {}))
    except ValidationError as error:
        words = f"the status of {kind} {meta['namespace']}/{meta['name']} cannot be read: {error}"
        raise InvalidError(f"{words}: use the plugin of the operator's release") from error
    return Seen(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        generation=meta["generation"],
        created_at=meta["creationTimestamp"],
        annotations=meta.get("annotations", {}),
        spec=manifest.get("spec", {}),
        status=status,
        complaints=tuple(_complaints(status, generation=meta["generation"])),
    )


def _complaints(status: PacingPolicyStatus | TelemetryAgentStatus, *, generation: int) -> Iterator[str]:
    ready, degraded = _condition(status, _READY), _condition(status, _DEGRADED)
    if ready is None:
        yield f"the operator has not looked at it yet: see whether one runs: {_IS_IT_RUNNING}"
        return
    if status.observed_generation < generation:
        known = f"the operator has seen generation {status.observed_generation}, not yet {generation}"
        yield f"{known}: if that lasts, see whether one runs: {_IS_IT_RUNNING}"
    if ready.status is not ConditionStatus.TRUE:
        yield f"not ready: {ready.reason}: {ready.message}"
    if degraded is not None and degraded.status is ConditionStatus.TRUE:
        # What keeps a resource from being ready degrades it too, and is told first in both conditions.
        further = degraded.message.removeprefix(ready.message).removeprefix("; ")
        if further == degraded.message:
            yield f"degraded: {degraded.reason}: {further}"
        elif further:
            # The reason is that of what was told already.
            yield f"degraded: {further}"
    if isinstance(status, PacingPolicyStatus):
        for alert in status.alerts:
            yield f"alert {alert.name} ({alert.severity}, since {alert.since}): {alert.message}"


def _condition(status: PacingPolicyStatus | TelemetryAgentStatus, type_: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == type_), None)
