from tests.operator.builders import pod
from tokenflow_operator.plan.pods import pod_problems


def test_the_attempts_to_pull_an_image_read_the_same() -> None:
    failing, backing_off = (
        list(pod_problems([pod("a", "agent", waiting=(reason, "words"))], namespace="n"))
        for reason in ("ErrImagePull", "ImagePullBackOff")
    )
    assert failing == backing_off
    assert "a: tokenflow/agent:1" in failing[0].message


def test_many_failing_pods_are_summed_up() -> None:
    pods = [pod(f"p{i}", "agent", waiting=("CrashLoopBackOff", "")) for i in range(5)]
    (problem,) = pod_problems(pods, namespace="n")
    assert "p0: CrashLoopBackOff" in problem.message
    assert "and 2 more" in problem.message
    assert "kubectl -n n describe pod p0" in problem.message


def test_a_pod_that_fits_no_node_is_named_with_the_schedulers_words() -> None:
    waiting = pod("p", "agent")
    waiting["status"] = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes"}]}
    (problem,) = pod_problems([waiting], namespace="n")
    assert "p: Unschedulable: 0/3 nodes" in problem.message


def test_a_pod_that_just_starts_is_no_problem() -> None:
    assert not list(pod_problems([pod("p", "agent", waiting=("ContainerCreating", ""))], namespace="n"))
