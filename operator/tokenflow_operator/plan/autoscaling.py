"""How many replicas the hint service has: as many as asked for, or as many as its autoscaler found necessary.

The Deployment is always applied with a number, for a field that is no longer applied falls back to
its default of one. While an autoscaler decides, that number is the present one.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tokenflow_api.pacing_policy import Autoscaling, HintService
from tokenflow_operator.kube.kinds import DEPLOYMENT, HINT_REQUESTS, HORIZONTAL_POD_AUTOSCALER
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.snapshot import Cluster

_MEASURED_S: Final = 120.0
"""Seconds that new pods may take to be measured."""


def hintsvc_replicas(spec: HintService, deployment: Manifest | None) -> int:
    """Return how many replicas the hint service should have now.

    Args:
        spec: what is asked for.
        deployment: the hint service's, as it is at present; nothing where there is none.
    """
    if spec.autoscaling is None or deployment is None:
        return spec.replicas
    present: int = deployment["spec"].get("replicas", 1)
    return max(spec.replicas, min(present, spec.autoscaling.max_replicas))


def autoscalers(
    owner: Owner, name: str, component: str, spec: HintService, *, by_requests: bool
) -> tuple[Manifest, ...]:
    """Return the autoscaler of the Deployment of that name; nothing where none is asked for.

    Args:
        owner: the resource.
        name: of the Deployment.
        component: that it is.
        spec: what is asked for.
        by_requests: whether the cluster serves ``HINT_REQUESTS``: an autoscaler that lacks one of its metrics
            never scales down.
    """
    if spec.autoscaling is None:
        return ()
    autoscaler = owner.object(
        HORIZONTAL_POD_AUTOSCALER,
        name,
        component,
        spec={
            "scaleTargetRef": {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind, "name": name},
            "minReplicas": spec.replicas,
            "maxReplicas": spec.autoscaling.max_replicas,
            "metrics": [_cpu(spec.autoscaling), *([_requests(spec.autoscaling)] if by_requests else [])],
        },
    )
    return (autoscaler,)


def autoscaling_problems(name: str, cluster: Cluster, *, now: datetime) -> Iterator[Problem]:
    """Yield why the autoscaler of that name decides nothing, once it had time to.

    Args:
        name: of the autoscaler.
        cluster: where it is, if anywhere.
        now: the time of day.
    """
    status = cluster.children.get(ObjectRef(HORIZONTAL_POD_AUTOSCALER.kind, name), {}).get("status", {})
    for condition in status.get("conditions", []):
        idle = condition["type"] == "ScalingActive" and condition["status"] == "False"
        since = datetime.fromisoformat(condition["lastTransitionTime"])
        if idle and (now - since).total_seconds() >= _MEASURED_S:
            message = (
                f"HorizontalPodAutoscaler {name} decides nothing ({condition['reason']}), and the replicas stay as they"
                " are: see whether the cluster serves the metrics of pods, as metrics-server does"
            )
            yield Problem(reason=Reason.AUTOSCALING_INACTIVE, severity=Severity.DEGRADED, message=message)


def _cpu(spec: Autoscaling) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": spec.target_cpu_percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _requests(spec: Autoscaling) -> Manifest:
    target = {"type": "AverageValue", "averageValue": str(spec.target_requests_per_second)}
    return {"type": "Pods", "pods": {"metric": {"name": HINT_REQUESTS.plural.removeprefix("pods/")}, "target": target}}
