"""What pods say of why they do not run."""

from collections.abc import Iterable, Iterator
from typing import Final

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.reasons import Problem, Reason, Severity

_IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_FAILURE_REASONS: Final = frozenset(
    {"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)
_NAMED: Final = 3


def ready_pods(pods: Iterable[Manifest], *, component: str) -> list[str]:
    """Return the names of a component's pods that serve and are there to stay, in order."""
    return sorted(pod["metadata"]["name"] for pod in pods if _component(pod) == component and _is_ready(pod))


def _component(pod: Manifest) -> str:
    component: str = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
    return component


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def pod_problems(pods: Iterable[Manifest], *, namespace: str) -> Iterator[Problem]:
    """Yield at most one problem per reason, each naming the first pods that have it."""
    in_order = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    images = [f"{pod['metadata']['name']}: {image}" for pod in in_order for image in _images_not_pulled(pod)]
    if images:
        remedy = "check the image's name and the nodes' access to its registry"
        yield _problem(Reason.IMAGE_PULL_FAILED, images, remedy)
    failures = [f"{pod['metadata']['name']}: {failure}" for pod in in_order for failure in _failures(pod)]
    if failures:
        remedy = f"see kubectl -n {namespace} describe pod {failures[0].partition(':')[0]}, and its logs"
        yield _problem(Reason.PODS_FAILING, failures, remedy)


def _images_not_pulled(pod: Manifest) -> Iterator[str]:
    # The image alone: the pod's own words change with every attempt, and each change would be a write.
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container.get("state", {}).get("waiting", {}).get("reason") in _IMAGE_REASONS:
            yield container["image"]


def _failures(pod: Manifest) -> Iterator[str]:
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _FAILURE_REASONS:
            yield waiting["reason"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield f"Unschedulable: {condition.get('message', '')}"


def _problem(reason: Reason, pods: list[str], remedy: str) -> Problem:
    named = "; ".join(pods[:_NAMED])
    more = f" and {len(pods) - _NAMED} more" if len(pods) > _NAMED else ""
    return Problem(reason=reason, severity=Severity.DEGRADED, message=f"{named}{more}: {remedy}")
