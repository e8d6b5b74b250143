"""What pods say of why they do not run."""

from datetime import timedelta
from typing import Any

import pytest

from tests.operator.builders import NOW, pod
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.pods import pod_problems, trouble_of
from tokenflow_operator.plan.reasons import Problem, Reason

PULL = 'failed to resolve "agent:1": not found'


def problems(*pods: Manifest) -> list[Problem]:
    return list(pod_problems(pods, namespace="n", now=NOW))


def ended(name: str = "p", *, restarts: int = 5, ready: bool = False, at: Any = NOW, **end: Any) -> Manifest:
    """Return a pod whose container was started again after it had ended."""
    restarted = pod(name, "hintsvc")
    last = {"exitCode": 1, "reason": "Error", "finishedAt": at.isoformat()} | end
    (status,) = restarted["status"]["containerStatuses"]
    status |= {"restartCount": restarts, "ready": ready, "lastState": {"terminated": last}}
    return restarted


def waiting(status: Manifest, reason: str, message: str = "") -> Manifest:
    """Return the pod while its container waits."""
    status["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason, "message": message}}
    return status


def conditioned(**condition: str) -> Manifest:
    made = pod("p", "agent")
    made["status"] = {"conditions": [condition]}
    return made


def test_an_image_that_cannot_be_pulled_is_named_with_the_cause() -> None:
    (problem,) = problems(pod("a", "agent", waiting=("ErrImagePull", PULL)))
    assert problem.reason is Reason.IMAGE_PULL_FAILED
    assert problem.message.startswith(f"a: tokenflow/agent:1: {PULL}: check the image's name")


def test_the_attempts_to_pull_an_image_read_the_same() -> None:
    between = f'Back-off pulling image "agent:1": ErrImagePull: {PULL}'
    assert problems(pod("a", "agent", waiting=("ErrImagePull", PULL))) == problems(
        pod("a", "agent", waiting=("ImagePullBackOff", between))
    )


@pytest.mark.parametrize(
    "attempt",
    [
        'pulling "agent:1": read tcp 10.0.0.1:{port}->192.0.2.9:443: connection reset by peer',
        'pulling "agent:1": 429 Too Many Requests: {{"time":"2026-01-01T00:00:{second}.5Z","id":"{id}"}}',
    ],
    ids=["ports", "times and ids"],
)
def test_what_differs_at_each_attempt_is_left_out(attempt: str) -> None:
    ids = "8f14e45f-ceea-467f-a9b3-5d7c1a0c2b11", "c9f0f895-fb98-4b91-8f1d-0a3e4b5c6d7e"
    one, other = (
        problems(pod("a", "agent", waiting=("ErrImagePull", attempt.format(port=port, second=second, id=id_))))
        for port, second, id_ in zip((43522, 5011), (10, 40), ids, strict=True)
    )
    assert one == other


def test_the_digest_of_an_image_is_told() -> None:
    digest = f"sha256:{'0a' * 32}"
    (problem,) = problems(pod("a", "agent", waiting=("ErrImagePull", f"{digest}: not found")))
    assert f"{digest}: not found" in problem.message


def test_a_container_that_keeps_ending_is_told_with_its_last_words() -> None:
    log = "Traceback (most recent call last):\n  File ...\nValueError: the model is none\n\n"
    (problem,) = problems(waiting(ended(message=log), "CrashLoopBackOff", "back-off 5m0s"))
    assert problem.message == (
        "p: container hintsvc: CrashLoopBackOff: Error with exit code 1: ValueError: the model is none:"
        " see kubectl -n n describe pod p, and its logs"
    )


def test_a_container_that_was_killed_for_memory_is_told_so() -> None:
    (problem,) = problems(waiting(ended(reason="OOMKilled", exitCode=137), "CrashLoopBackOff"))
    assert "OOMKilled with exit code 137: it needs more memory than its limit allows: see " in problem.message


def test_a_container_that_has_no_certificate_to_serve_with_has_a_reason_of_its_own() -> None:
    (problem,) = problems(waiting(ended(exitCode=78, message="it holds no tls.key"), "CrashLoopBackOff"))
    assert problem.reason is Reason.CERTIFICATE_UNUSABLE
    assert "it holds no tls.key: let the Secret in spec.security.tlsSecretRef hold" in problem.message


@pytest.mark.parametrize(
    ("started_again", "failing"),
    [
        (ended(), True),
        (ended(ready=True), False),
        (ended(restarts=1), False),
        (ended(at=NOW - timedelta(minutes=11)), False),
        (ended(startedAt=(NOW - timedelta(minutes=9)).isoformat()), True),
        (ended(startedAt=(NOW - timedelta(minutes=11)).isoformat()), False),
        (ended(finishedAt=None, startedAt=None, reason="ContainerStatusUnknown"), False),
    ],
    ids=["still", "ready", "for the first time", "long ago", "soon", "after it had run for long", "lost"],
)
def test_between_two_ends_a_container_counts_as_failing_still(started_again: Manifest, failing: bool) -> None:
    assert bool(problems(started_again)) is failing


def test_what_a_container_lacks_to_be_made_is_told_in_the_kubelets_words() -> None:
    (problem,) = problems(pod("p", "agent", waiting=("CreateContainerConfigError", 'secret "x" not found')))
    assert problem.message.startswith('p: container agent: CreateContainerConfigError: secret "x" not found: see ')


def test_long_words_keep_their_beginning_and_their_end() -> None:
    (problem,) = problems(pod("a", "agent", waiting=("ErrImagePull", f"first {'x' * 5000} last")))
    assert len(problem.message) < 500
    assert "first " in problem.message
    assert " last: check" in problem.message


def test_many_failing_pods_are_summed_up() -> None:
    pods = [pod(f"p{i}", "agent", waiting=("CrashLoopBackOff", "")) for i in range(5)]
    (problem,) = problems(*pods)
    assert "p0: container agent: CrashLoopBackOff" in problem.message
    assert "and 2 more" in problem.message
    assert "kubectl -n n describe pod p0" in problem.message


def test_a_pod_that_fits_no_node_is_named_with_the_schedulers_words() -> None:
    (problem,) = problems(conditioned(type="PodScheduled", reason="Unschedulable", message="0/3 nodes"))
    assert "p: Unschedulable: 0/3 nodes" in problem.message


@pytest.mark.parametrize(("seconds", "failing"), [(30, False), (90, True)])
def test_a_pod_without_volumes_or_network_is_failing_after_a_minute(seconds: int, failing: bool) -> None:
    since = (NOW - timedelta(seconds=seconds)).isoformat()
    stuck = conditioned(type="PodReadyToStartContainers", status="False", lastTransitionTime=since)
    assert ["volumes or its network" in problem.message for problem in problems(stuck)] == [True] * failing


def test_a_pod_that_just_starts_is_no_problem() -> None:
    assert problems(pod("p", "agent", waiting=("ContainerCreating", ""))) == []


def test_a_pod_that_is_being_deleted_is_no_problem() -> None:
    leaving = pod("p", "agent", waiting=("CrashLoopBackOff", ""))
    leaving["metadata"]["deletionTimestamp"] = NOW.isoformat()
    assert trouble_of(leaving, now=NOW) is None


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_was_evicted_or_shut_down_is_no_problem(phase: str) -> None:
    since = (NOW - timedelta(hours=1)).isoformat()
    evicted = conditioned(type="PodReadyToStartContainers", status="False", lastTransitionTime=since)
    evicted["status"] |= {"phase": phase, "reason": "Evicted"}
    assert problems(evicted) == []
