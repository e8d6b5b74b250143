"""Snapshots to plan from: both examples, in a cluster that is empty or where all is well."""

import copy
import dataclasses
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tokenflow_api.cluster import ClusterView, NodeReport, Replica
from tokenflow_api.hints import Hint, PathState, Snapshot, Source
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.keys import Key
from tokenflow_operator.kube.objects import Manifest, ref_of
from tokenflow_operator.plan import Plan, plan
from tokenflow_operator.settings import Identity, Images, Installation
from tokenflow_operator.snapshot import AgentSnapshot, Cluster, HintServiceState, PolicySnapshot, Resource

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
INSTALLATION = Installation(
    images=Images(agent="tokenflow/agent:1", hintsvc="tokenflow/hintsvc:1", redis="redis:8"),
    identity=Identity(namespace="tokenflow-system", service_account="tokenflow-operator"),
)


def example(name: str) -> dict[str, Any]:
    return copy.deepcopy(_read(name))


@cache
def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((EXAMPLES / name).read_text())["spec"]


def policy(spec: PacingPolicySpec | None = None, *, name: str = "demo", generation: int = 1, **status: Any):
    return Resource(
        key=Key(kind="PacingPolicy", namespace="default", name=name),
        uid=f"uid-{name}",
        generation=generation,
        spec=spec or PacingPolicySpec.model_validate(example("pacingpolicy.yaml")),
        created_at="2025-12-31T00:00:00Z",
        status=status,
    )


def agent(spec: TelemetryAgentSpec | None = None, *, name: str = "nodes", generation: int = 1, **status: Any):
    return Resource(
        key=Key(kind="TelemetryAgent", namespace="default", name=name),
        uid=f"uid-{name}",
        generation=generation,
        spec=spec or TelemetryAgentSpec.model_validate(example("telemetryagent.yaml")),
        created_at="2025-12-31T00:00:00Z",
        status=status,
    )


def policy_snapshot(resource=None, **changes: Any) -> PolicySnapshot:
    resource = resource or policy()
    snapshot = PolicySnapshot(
        policy=resource,
        policies=(resource,),
        agents=(agent(),),
        cluster=Cluster(children={}),
        hint_service=HintServiceState(error="no such host"),
    )
    return dataclasses.replace(snapshot, **changes)


def agent_snapshot(resource=None, **changes: Any) -> AgentSnapshot:
    snapshot = AgentSnapshot(
        agent=resource or agent(),
        policies=(policy(),),
        agents=(resource or agent(),),
        nodes=(),
        revisions=(),
        cluster=Cluster(children={}),
        hint_services=(),
    )
    return dataclasses.replace(snapshot, **changes)


def plan_of(snapshot: PolicySnapshot | AgentSnapshot, *, now: datetime = NOW) -> Plan:
    return plan(snapshot, INSTALLATION, now=now)


def hint(tenant: str, *, path: str = "*", rate: float = 80.0, health: float = 1.0, streams: int = 0) -> Hint:
    return Hint(
        tenant=tenant,
        path=path,
        tokens_per_second=rate,
        batch_size=1,
        batch_delay_ms=0,
        health=health,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
        signals={"active_streams": streams},
    )


def view(*, generation: int = 1, hints: list[Hint] | None = None, leader: str = "demo-hintsvc-0") -> ClusterView:
    return ClusterView(
        leader=leader,
        term=1,
        replicas=[Replica(name=f"demo-hintsvc-{i}", generation=generation, at_unix_ms=NOW_MS) for i in range(3)],
        nodes=[
            NodeReport(
                agent="default/nodes",
                node="node1",
                at_unix_ms=NOW_MS,
                signals=[Signal(name="TCPRoundTripTime", backend="BTFTracepoint", state=SignalState.ACTIVE)],
            )
        ],
        snapshot=Snapshot(
            term=1,
            version=1,
            generation=generation,
            at_unix_ms=NOW_MS,
            ttl_ms=1000,
            health=1.0,
            hints=[hint("free"), hint("gold")] if hints is None else hints,
        ),
    )


def pod(name: str, component: str, *, waiting: tuple[str, str] | None = None) -> Manifest:
    state = {"waiting": {"reason": waiting[0], "message": waiting[1]}} if waiting else {"running": {}}
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": component}},
        "status": {
            "conditions": [{"type": "Ready", "status": "False" if waiting else "True"}],
            "containerStatuses": [{"name": component, "image": f"tokenflow/{component}:1", "state": state}],
        },
    }


def node(name: str, *, ready: bool = True, cordoned: bool = False, **labels: str) -> Manifest:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", **labels}},
        "spec": {"unschedulable": cordoned},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]},
    }


def agents_of(daemon_set: Manifest, *nodes: str, ready: bool = True) -> tuple[Manifest, ...]:
    """Return an agent on each node that runs the DaemonSet's present template, and has for long."""
    return tuple(
        {
            "kind": "Pod",
            "metadata": {
                "name": f"{daemon_set['metadata']['name']}-{name}",
                "namespace": daemon_set["metadata"]["namespace"],
                "uid": f"uid-{name}",
                "labels": daemon_set["spec"]["template"]["metadata"]["labels"],
                "creationTimestamp": "2025-12-31T00:00:00Z",
            },
            "spec": {"nodeName": name},
            "status": {
                "conditions": [
                    {"type": "Ready", "status": str(ready), "lastTransitionTime": "2025-12-31T00:00:00Z"},
                ],
                "containerStatuses": [
                    {
                        "name": "agent",
                        "image": daemon_set["spec"]["template"]["spec"]["containers"][0]["image"],
                        "restartCount": 0,
                        "state": {"running": {"startedAt": "2025-12-31T00:00:00Z"}},
                    }
                ],
            },
        }
        for name in nodes
    )


def _running(manifest: Manifest) -> Manifest:
    """Return the object as it is once its controller is done."""
    metadata = {**manifest["metadata"], "generation": 1, "uid": f"uid-{ref_of(manifest)}"}
    match manifest["kind"]:
        case "Deployment":
            wanted = manifest["spec"]["replicas"]
            status = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), wanted)
        case "DaemonSet":
            status = dict.fromkeys(("desiredNumberScheduled", "updatedNumberScheduled", "numberReady"), 1)
        case _:
            status = {}
    return {**manifest, "metadata": metadata, "status": {"observedGeneration": 1, **status}}


def settled_cluster(snapshot: PolicySnapshot | AgentSnapshot) -> Cluster:
    applied = plan_of(dataclasses.replace(snapshot, cluster=Cluster(children={}))).apply
    if isinstance(snapshot, AgentSnapshot):
        pods = agents_of(applied[-1], "node1")
    else:
        pods = (*(pod(f"demo-hintsvc-{i}", "hintsvc") for i in range(3)), pod("demo-gateway-0", "gateway"))
    return Cluster(children={ref_of(manifest): _running(manifest) for manifest in applied}, pods=pods)


def settled_policy(resource=None, **changes: Any) -> PolicySnapshot:
    snapshot = policy_snapshot(resource)
    well = {"cluster": settled_cluster(snapshot), "hint_service": HintServiceState(view=view())}
    return dataclasses.replace(snapshot, **(well | changes))


def settled_agent(resource=None, **changes: Any) -> AgentSnapshot:
    snapshot = agent_snapshot(resource, nodes=(node("node1"),))
    well = {"cluster": settled_cluster(snapshot), "hint_services": (HintServiceState(view=view()),)}
    return dataclasses.replace(snapshot, **(well | changes))


def condition(planned: Plan, type_: str) -> dict[str, Any]:
    assert planned.status is not None
    return next(c for c in planned.status["conditions"] if c["type"] == type_)
