"""What Deployments say of themselves."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from tokenflow_operator.kube.kinds import DEPLOYMENT
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.containers import brief
from tokenflow_operator.plan.reasons import Problem, Reason, Severity


def ready_replicas(deployment: Manifest | None) -> int:
    """Return how many replicas of the Deployment's present revision are available, old ones not counted."""
    if deployment is None:
        return 0
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 1):
        return 0
    updated: int = status.get("updatedReplicas", 0)
    available: int = status.get("availableReplicas", 0)
    surplus: int = status.get("replicas", 0) - updated
    return max(0, min(updated, available - surplus))


def available_for_s(deployment: Manifest | None, *, now: datetime) -> float:
    """Return for how many seconds the Deployment has been available, infinite where it does not say so."""
    condition = _holding(deployment or {}, "Available")
    if condition is None:
        return float("inf")
    return (now - datetime.fromisoformat(condition["lastTransitionTime"])).total_seconds()


def refused_pods(children: Iterable[Manifest]) -> Iterator[Problem]:
    """Yield the Deployments that the API server lets make no pods."""
    for child in children:
        condition = _holding(child, "ReplicaFailure") if child["kind"] == DEPLOYMENT.kind else None
        if condition is not None:
            message = (
                f"Deployment {child['metadata']['name']} may not make its pods: {brief(condition.get('message', ''))}:"
                " see to the quota, the Pod Security label or the admission that the message names"
            )
            yield Problem(reason=Reason.PODS_REFUSED, severity=Severity.DEGRADED, message=message)


def _holding(deployment: Manifest, type_: str) -> Manifest | None:
    conditions = deployment.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type_ and c["status"] == "True"), None)
