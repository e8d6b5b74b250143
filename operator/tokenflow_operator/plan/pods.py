"""What pods say of why they do not run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.reasons import Problem, Reason, Severity

_IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CRASHED: Final = "CrashLoopBackOff"
_FAILURE_REASONS: Final = frozenset(
    {_CRASHED, "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)
_NAMED: Final = 3


def ready_pods(pods: Iterable[Manifest], *, component: str) -> list[str]:
    """Return the names of a component's pods that serve and are there to stay, in order."""
    return sorted(pod["metadata"]["name"] for pod in pods if component_of(pod) == component and _is_ready(pod))


def component_of(manifest: Manifest) -> str:
    """Return which part of a resource an object or a pod is."""
    component: str = manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
    return component


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from running.

    Attributes:
        may_pass: it may end without anybody's doing.
    """

    reason: Reason
    words: str
    may_pass: bool = False


def trouble_of(pod: Manifest) -> Trouble | None:
    """Return the first thing that keeps the pod from running, if any does."""
    return next(_troubles(pod), None)


def pod_problems(pods: Iterable[Manifest], *, namespace: str) -> Iterator[Problem]:
    """Yield at most one problem per reason, each naming the first pods that have it."""
    in_order = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    named = [(pod["metadata"]["name"], trouble) for pod in in_order for trouble in _troubles(pod)]
    for reason, remedy in (
        (Reason.IMAGE_PULL_FAILED, "check the image's name and the nodes' access to its registry"),
        (Reason.PODS_FAILING, "see kubectl -n {namespace} describe pod {pod}, and its logs"),
    ):
        having = [(pod, trouble.words) for pod, trouble in named if trouble.reason is reason]
        if having:
            yield _problem(reason, having, remedy.format(namespace=namespace, pod=having[0][0]))


def _troubles(pod: Manifest) -> Iterator[Trouble]:
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {}).get("reason")
        if waiting in _IMAGE_REASONS:
            # The image alone: the pod's own words change with every attempt, and each change would be a write.
            yield Trouble(Reason.IMAGE_PULL_FAILED, container["image"])
        elif waiting in _FAILURE_REASONS:
            yield Trouble(Reason.PODS_FAILING, waiting, may_pass=waiting == _CRASHED)
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Trouble(Reason.PODS_FAILING, f"Unschedulable: {condition.get('message', '')}", may_pass=True)


def _problem(reason: Reason, having: Sequence[tuple[str, str]], remedy: str) -> Problem:
    named = some([f"{pod}: {words}" for pod, words in having], most=_NAMED, separator="; ")
    return Problem(reason=reason, severity=Severity.DEGRADED, message=f"{named}: {remedy}")
