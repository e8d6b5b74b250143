"""How many replicas the hint service has: as many as asked for, or as many as its autoscaler found necessary.

The Deployment is always applied with a number, for a field that is no longer applied falls back to
its default of one. While an autoscaler decides, that number is the present one.
"""

from tokenflow_api.pacing_policy import Autoscaling, HintService
from tokenflow_operator.kube.kinds import DEPLOYMENT, HINT_REQUESTS, HORIZONTAL_POD_AUTOSCALER
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.objects import Owner


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


def _cpu(spec: Autoscaling) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": spec.target_cpu_percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _requests(spec: Autoscaling) -> Manifest:
    target = {"type": "AverageValue", "averageValue": str(spec.target_requests_per_second)}
    return {"type": "Pods", "pods": {"metric": {"name": HINT_REQUESTS.plural.removeprefix("pods/")}, "target": target}}
