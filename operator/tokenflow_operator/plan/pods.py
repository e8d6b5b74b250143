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


def is_ready(pod: Manifest) -> bool:
    """Return whether the pod serves and is there to stay."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def component_of(pod: Manifest) -> str:
    """Return which part of its owner the pod is."""
    component: str = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
    return component


def pod_problems(pods: Iterable[Manifest], *, namespace: str) -> list[Problem]:
    """Return at most one problem per reason, each naming the first pods that have it."""
    images: list[tuple[str, str]] = []
    failures: list[tuple[str, str]] = []
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        name = pod["metadata"]["name"]
        for reason, message in _waiting(pod):
            if reason in _IMAGE_REASONS:
                images.append((name, f"{reason} {message}".strip()))
            elif reason in _FAILURE_REASONS:
                failures.append((name, reason))
            elif reason == "Unschedulable":
                failures.append((name, f"{reason}: {message}"))
    problems = []
    if images:
        remedy = "check the image's name and the nodes' access to its registry"
        problems.append(_problem(Reason.IMAGE_PULL_FAILED, images, remedy))
    if failures:
        remedy = f"see kubectl -n {namespace} describe pod {failures[0][0]}, and its logs"
        problems.append(_problem(Reason.PODS_FAILING, failures, remedy))
    return problems


def _waiting(pod: Manifest) -> Iterator[tuple[str, str]]:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            yield waiting.get("reason", ""), waiting.get("message", "")
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield condition.get("reason", ""), condition.get("message", "")


def _problem(reason: Reason, pods: list[tuple[str, str]], remedy: str) -> Problem:
    named = "; ".join(f"{name}: {what}" for name, what in pods[:_NAMED])
    more = f" and {len(pods) - _NAMED} more" if len(pods) > _NAMED else ""
    return Problem(reason=reason, severity=Severity.DEGRADED, message=f"{named}{more}: {remedy}")
