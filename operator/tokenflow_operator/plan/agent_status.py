"""What is said of a TelemetryAgent."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from tokenflow_api.cluster import NodeReport
from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import BackendCount, DegradedNode
from tokenflow_operator.kube.kinds import DAEMON_SET
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan import names
from tokenflow_operator.plan.conditions import progressing_since
from tokenflow_operator.plan.pods import pod_problems, trouble_of
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.plan.rollout.sites import Site
from tokenflow_operator.plan.runtime import MAX_POLICIES_PER_AGENT, policies_of
from tokenflow_operator.snapshot import AgentSnapshot

MAX_LISTED: Final = 64
"""Entries of each list of the status."""
NODE_NOT_READY: Final = "NodeNotReady"
AGENT_NOT_ENDING: Final = "AgentNotEnding"
AGENT_NOT_READY: Final = "AgentNotReady"
_MAX_MESSAGE: Final = 1024
_NAMED: Final = 3
_MADE_S: Final = 20.0
"""Seconds within which the pods of a DaemonSet are there, started or not."""


def daemon_set_of(snapshot: AgentSnapshot) -> Manifest | None:
    """Return the agent's DaemonSet once its controller has seen its present spec."""
    daemon_set = snapshot.cluster.children.get(ObjectRef(DAEMON_SET.kind, names.agent(snapshot.agent.key.name)))
    if daemon_set is None:
        return None
    seen = daemon_set.get("status", {}).get("observedGeneration", 0)
    return daemon_set if seen >= daemon_set["metadata"].get("generation", 1) else None


def agent_problems(snapshot: AgentSnapshot, degraded: Sequence[DegradedNode], *, now: datetime) -> Iterator[Problem]:
    """Yield what is not as the resource asks for, besides what its rollout has to say. ``now`` is the time of day."""
    yield from pod_problems(snapshot.cluster.pods, namespace=snapshot.agent.key.namespace, now=now)
    yield from _placement(snapshot, now)
    beyond = policies_of(snapshot.agent, snapshot.policies)[MAX_POLICIES_PER_AGENT:]
    if beyond:
        left_out = ", ".join(policy.key.name for policy in beyond)
        message = (
            f"more than {MAX_POLICIES_PER_AGENT} policies name this agent, so that nothing is delivered to {left_out}:"
            " let them name another TelemetryAgent"
        )
        yield Problem(reason=Reason.TOO_MANY_POLICIES, severity=Severity.DEGRADED, message=message)
    if degraded:
        named = "; ".join(f"{node.name}: {node.message or node.reason}" for node in degraded[:_NAMED])
        message = f"{len(degraded)} nodes are read in part or not at all: {named}: see status.degradedNodes"
        yield Problem(reason=Reason.NODES_DEGRADED, severity=Severity.DEGRADED, message=message)


def _placement(snapshot: AgentSnapshot, now: datetime) -> Iterator[Problem]:
    name = names.agent(snapshot.agent.key.name)
    daemon_set = daemon_set_of(snapshot)
    if daemon_set is None:
        message = f"DaemonSet {name} is being set up"
        yield Problem(reason=Reason.AGENTS_STARTING, severity=Severity.PROGRESSING, message=message)
    elif daemon_set["status"].get("desiredNumberScheduled", 0) == 0:
        message = "no node matches spec.nodeSelector and spec.tolerations: widen them, or label the nodes to measure"
        yield Problem(reason=Reason.NO_MATCHING_NODES, severity=Severity.BLOCKING, message=message)
    elif _lacks_pods(snapshot, daemon_set, now):
        namespace = snapshot.agent.key.namespace
        message = (
            f"DaemonSet {name} may not make its pods: most often its namespace admits none that read the kernel:"
            f" run kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=privileged, or see"
            f" kubectl -n {namespace} describe daemonset {name}"
        )
        yield Problem(reason=Reason.PODS_REFUSED, severity=Severity.DEGRADED, message=message)


def _lacks_pods(snapshot: AgentSnapshot, daemon_set: Manifest, now: datetime) -> bool:
    """Return whether there has been no pod for longer than it takes to put another one in the last one's place."""
    since = progressing_since(snapshot.agent.status)
    none = not snapshot.cluster.pods and daemon_set["status"].get("currentNumberScheduled", 0) == 0
    return none and since is not None and (now - since).total_seconds() > _MADE_S


def node_reports(snapshot: AgentSnapshot) -> list[NodeReport]:
    """Return the newest report of each node of this agent, over all policies, by node."""
    newest: dict[str, NodeReport] = {}
    for state in snapshot.hint_services:
        for report in state.view.nodes if state.view else ():
            known = newest.get(report.node)
            if report.agent == snapshot.agent.key.reported_as and (
                known is None or known.at_unix_ms < report.at_unix_ms
            ):
                newest[report.node] = report
    return [report for _, report in sorted(newest.items())]


def backends(snapshot: AgentSnapshot) -> list[BackendCount]:
    """Return on how many nodes each signal is read in which way, be it the best one or a lesser."""
    counts = Counter(
        f"{signal.name}/{signal.backend}"
        for report in node_reports(snapshot)
        for signal in report.signals
        if signal.backend
    )
    return [BackendCount(name=name, nodes=nodes) for name, nodes in sorted(counts.items())[:MAX_LISTED]]


def degraded_nodes(snapshot: AgentSnapshot, sites: Sequence[Site], now: datetime) -> list[DegradedNode]:
    """Return the nodes on which no agent runs, or a signal cannot be read as asked for, with the reasons."""
    found = (*_read_in_part(snapshot), *_without_service(snapshot, sites, now), *_without_agent(snapshot, now))
    nodes = {node.name: node for node in found}
    return [node for _, node in sorted(nodes.items())]


def _read_in_part(snapshot: AgentSnapshot) -> Iterator[DegradedNode]:
    for report in node_reports(snapshot):
        degraded = [signal for signal in report.signals if signal.state is SignalState.DEGRADED]
        if degraded:
            reason = degraded[0].reason or "SignalDegraded"
            yield DegradedNode(name=report.node, reason=reason, message=_causes(degraded)[:_MAX_MESSAGE])


def _without_agent(snapshot: AgentSnapshot, now: datetime) -> Iterator[DegradedNode]:
    for pod in snapshot.cluster.pods:
        node = pod.get("spec", {}).get("nodeName")
        trouble = trouble_of(pod, now=now)
        if node and trouble:
            message = f"no agent runs: {pod['metadata']['name']}: {trouble.words}"
            yield DegradedNode(name=node, reason=trouble.reason, message=message[:_MAX_MESSAGE])


def _without_service(snapshot: AgentSnapshot, sites: Sequence[Site], now: datetime) -> Iterator[DegradedNode]:
    deadline_s = seconds(snapshot.agent.spec.rollout.progress_deadline)
    for site in sites:
        if site.away:
            message = "the node is not ready: its agent is brought up to date when it is back"
            yield DegradedNode(name=site.node, reason=NODE_NOT_READY, message=message)
        elif site.is_stuck(now):
            message = "the agent was told to end and has not: look at the kubelet, or delete its pod by force"
            yield DegradedNode(name=site.node, reason=AGENT_NOT_ENDING, message=message)
        elif site.pod is not None and not site.is_ready and site.since_s(now) > deadline_s:
            message = f"no agent is ready: see the log of pod {site.pod['metadata']['name']}"
            yield DegradedNode(name=site.node, reason=AGENT_NOT_READY, message=message)


def _causes(degraded: Sequence[Signal]) -> str:
    """Tell each cause once, after all the signals that it takes away or makes lesser."""
    names: dict[tuple[str, str], list[str]] = {}
    for signal in degraded:
        names.setdefault((signal.backend, signal.message or signal.reason), []).append(signal.name)
    return "; ".join(
        f"{', '.join(affected)}{f' (read by {backend})' if backend else ''}: {cause}"
        for (backend, cause), affected in names.items()
    )
