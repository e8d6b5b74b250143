"""What Deployments say of themselves, and what a DaemonSet without a pod says."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from tests.operator.builders import NOW, agent, condition, plan_of, settled_agent, settled_policy
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan.conditions import timestamp
from tokenflow_operator.plan.reasons import Reason
from tokenflow_operator.snapshot import AgentSnapshot

GATEWAY = ObjectRef("Deployment", "demo-gateway")
AGENTS = ObjectRef("DaemonSet", "nodes-agent")


def changed(snapshot: Any, ref: ObjectRef, child: Manifest, **cluster: Any) -> Any:
    children = {**snapshot.cluster.children, ref: child}
    return dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, children=children, **cluster))


def test_a_deployment_that_may_make_no_pods_is_told_in_the_api_servers_words() -> None:
    snapshot = settled_policy()
    child = snapshot.cluster.children[GATEWAY]
    words = 'pods "demo-gateway-6b5" is forbidden: exceeded quota: small'
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    status = {**child["status"], "availableReplicas": 0, "conditions": [refused]}
    planned = plan_of(changed(snapshot, GATEWAY, {**child, "status": status}))
    degraded, ready = condition(planned, "Degraded"), condition(planned, "Ready")
    assert degraded["reason"] == Reason.PODS_REFUSED
    assert degraded["message"].startswith(f"Deployment demo-gateway may not make its pods: {words}: see to the quota")
    # Why it does not come up stands before the fact that it does not.
    assert (ready["status"], ready["reason"]) == ("False", Reason.PODS_REFUSED)
    assert ready["message"].endswith("Deployment demo-gateway: 0 of 2 replicas are ready and up to date")


def without_pods(snapshot: AgentSnapshot, *, scheduled: int = 0) -> AgentSnapshot:
    child = snapshot.cluster.children[AGENTS]
    status = {**child["status"], "currentNumberScheduled": scheduled}
    without: AgentSnapshot = changed(snapshot, AGENTS, {**child, "status": status}, pods=())
    return without


def under_way_for(age: timedelta) -> AgentSnapshot:
    starting = {"type": "Progressing", "status": "True", "reason": "AgentsStarting"}
    return settled_agent(agent(conditions=[{**starting, "lastTransitionTime": timestamp(NOW - age)}]))


@pytest.mark.parametrize(("age", "told"), [(timedelta(seconds=5), False), (timedelta(seconds=30), True)])
def test_a_daemon_set_without_any_pod_is_told_when_it_should_have_some(age: timedelta, told: bool) -> None:
    degraded = condition(plan_of(without_pods(under_way_for(age))), "Degraded")
    assert (degraded["reason"] == Reason.PODS_REFUSED) is told
    assert (
        "kubectl label namespace default pod-security.kubernetes.io/enforce=privileged" in degraded["message"]
    ) is told


def test_an_agent_whose_only_pod_has_just_gone_was_not_refused_it() -> None:
    settled = settled_agent()
    status = plan_of(settled).status
    assert status is not None
    gone = without_pods(settled_agent(agent(**status)))
    assert condition(plan_of(gone, now=NOW + timedelta(hours=1)), "Degraded")["status"] == "False"


def test_pods_that_are_there_and_not_known_yet_were_not_refused() -> None:
    made = without_pods(under_way_for(timedelta(seconds=30)), scheduled=1)
    assert condition(plan_of(made), "Degraded")["status"] == "False"
