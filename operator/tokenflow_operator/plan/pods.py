"""What pods say of why they do not run."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.containers import Trouble, brief, container_trouble
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.reasons import Problem, Reason, Severity

_NAMED: Final = 3
_PREPARED_S: Final = 60.0
"""Seconds within which a kubelet has long given a pod its volumes and its network."""
_OVER: Final = frozenset({"Failed", "Succeeded"})
"""Phases of pods that were evicted or shut down: they stay for a while, and others have taken their place."""

_CERTIFICATE_REMEDY: Final = (
    "let the Secret in spec.security.tlsSecretRef hold a certificate in tls.crt and its key in tls.key; the pods try"
    " again within five minutes, or at once when they are deleted"
)
_REMEDIES: Final = (
    (Reason.IMAGE_PULL_FAILED, "check the image's name and the nodes' access to its registry"),
    (Reason.CERTIFICATE_UNUSABLE, _CERTIFICATE_REMEDY),
    (Reason.PODS_FAILING, "see kubectl -n {namespace} describe pod {pod}, and its logs"),
)


def ready_pods(pods: Iterable[Manifest], *, component: str) -> list[str]:
    """Return the names of a component's pods that serve and are there to stay, in order."""
    return sorted(pod["metadata"]["name"] for pod in pods if component_of(pod) == component and serving(pod))


def component_of(manifest: Manifest) -> str:
    """Return which part of a resource an object or a pod is."""
    component: str = manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
    return component


def serving(pod: Manifest) -> bool:
    """Return whether a pod serves and is there to stay."""
    return _condition(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod["metadata"]


def trouble_of(pod: Manifest, *, now: datetime) -> Trouble | None:
    """Return the first thing that keeps the pod from running at the time of day ``now``, if any does."""
    return next(_troubles(pod, now=now), None)


def pod_problems(pods: Iterable[Manifest], *, namespace: str, now: datetime) -> Iterator[Problem]:
    """Yield at most one problem per reason, each naming the first pods that have it."""
    in_order = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    named = [(pod["metadata"]["name"], trouble) for pod in in_order for trouble in _troubles(pod, now=now)]
    for reason, remedy in _REMEDIES:
        having = [(pod, trouble.words) for pod, trouble in named if trouble.reason is reason]
        if having:
            yield _problem(reason, having, remedy.format(namespace=namespace, pod=having[0][0]))


def _troubles(pod: Manifest, *, now: datetime) -> Iterator[Trouble]:
    if "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") in _OVER:
        return
    for container in pod.get("status", {}).get("containerStatuses", []):
        trouble = container_trouble(container, now=now)
        if trouble is not None:
            yield trouble
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        words = f"Unschedulable: {brief(scheduled.get('message', ''))}"
        yield Trouble(Reason.PODS_FAILING, words, may_pass=True)
    prepared = _condition(pod, "PodReadyToStartContainers")
    if prepared.get("status") == "False" and _age_s(prepared, now) > _PREPARED_S:
        words = "its node has not set up its volumes or its network for more than a minute"
        yield Trouble(Reason.PODS_FAILING, words, may_pass=True)


def _condition(pod: Manifest, type_: str) -> Manifest:
    conditions: list[Manifest] = pod.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == type_), {})


def _age_s(condition: Manifest, now: datetime) -> float:
    return (now - datetime.fromisoformat(condition["lastTransitionTime"])).total_seconds()


def _problem(reason: Reason, having: Sequence[tuple[str, str]], remedy: str) -> Problem:
    named = some([f"{pod}: {words}" for pod, words in having], most=_NAMED, separator="; ")
    return Problem(reason=reason, severity=Severity.DEGRADED, message=f"{named}: {remedy}")
