"""A cluster small enough for a test: a DaemonSet's controller, kubelets and an operator, one step at a time.

What an image does when it is run is told by its name.
"""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.operator.builders import INSTALLATION, NOW, agent, agent_snapshot, node
from tokenflow_api.cluster import ClusterView, NodeReport
from tokenflow_api.telemetry import AgentCost, Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.kube.objects import Manifest, ObjectRef, ref_of
from tokenflow_operator.plan import Plan, plan
from tokenflow_operator.snapshot import Cluster, HintServiceState

GOOD, BETTER = "agent:good", "agent:better"
UNPULLABLE, CRASHING, NEVER_READY = "agent:unpullable", "agent:crashing", "agent:never-ready"
LOSSY, GREEDY, BLIND, SILENT = "agent:lossy", "agent:greedy", "agent:blind", "agent:silent"
TOO_LARGE, FORBIDDEN = "agent:too-large", "agent:forbidden"
BAD = (UNPULLABLE, CRASHING, NEVER_READY, TOO_LARGE)
START_S, END_S, RESTART_S = 4, 2, 10
DAEMON_SET = ObjectRef("DaemonSet", "nodes-agent")


@dataclass(kw_only=True)
class Pod:
    uid: str
    node: str
    image: str
    labels: dict[str, str]
    created_s: float
    ended_s: float | None = None


@dataclass
class Fleet:
    """The cluster. Time passes in ``pass_time`` alone; whatever ends or starts does so by then."""

    spec: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Manifest] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    has_policy: bool = False
    knows_nodes: bool = True
    time_s: float = 0.0
    generation: int = 1
    status: dict[str, Any] = field(default_factory=dict)
    children: dict[ObjectRef, Manifest] = field(default_factory=dict)
    revisions: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    replaced: list[tuple[float, list[str]]] = field(default_factory=list)
    """When the operator ended the agents of which nodes."""
    taken: set[str] = field(default_factory=set)
    """Nodes whose ready agent the operator has ended and that have had no ready one since."""
    sick: set[str] = field(default_factory=set)
    """Nodes on which the better image does not come up."""
    stuck: set[str] = field(default_factory=set)
    """Nodes on which no agent ends."""
    sacrificed: list[str] = field(default_factory=list)
    """Nodes whose ready and good agent the operator has ended, in order."""
    _made: int = 0

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.time_s)

    def add_nodes(self, *names: str, **labels: str) -> None:
        self.nodes |= {name: node(name, **labels) for name in names}

    def change_node(self, name: str, **state: Any) -> None:
        self.nodes[name] = node(name, **state)

    def change_spec(self, **changes: Any) -> None:
        self.spec |= changes
        self.generation += 1

    @property
    def allowed(self) -> int:
        percent = self.spec.get("rollout", {}).get("maxUnavailablePercent", 10)
        return max(1, len(self.nodes) * percent // 100)

    @property
    def stage(self) -> str:
        return self.status["rollout"]["stage"]

    def images(self) -> dict[str, str]:
        """Return the image of each node's agent."""
        return {pod.node: pod.image for pod in self.pods.values() if pod.ended_s is None}

    def planned(self) -> Plan:
        """Return what the operator would do now."""
        spec = TelemetryAgentSpec.model_validate(self.spec)
        mine = dataclasses.replace(
            agent(spec, generation=self.generation, **self.status), annotations=dict(self.annotations)
        )
        snapshot = agent_snapshot(
            mine,
            nodes=tuple(self.nodes.values()) if self.knows_nodes else None,
            revisions=tuple(self.revisions.values()),
            cluster=Cluster(children=self.children, pods=tuple(self._pod(pod) for pod in self.pods.values())),
            hint_services=(HintServiceState(view=self._view()),) if self.has_policy else (),
            **({} if self.has_policy else {"policies": ()}),
        )
        return plan(snapshot, INSTALLATION, now=self.now)

    def reconcile(self, *, steps: int = 10**6) -> Plan:
        """Let the operator make a pass, and stop it after so many of its steps."""
        planned = self.planned()
        for step, done in enumerate(self._execute(planned)):
            if step >= steps:
                break
            done()
        return planned

    def pass_time(self, seconds: float) -> None:
        self.time_s += seconds
        for uid, pod in list(self.pods.items()):
            gone = pod.node not in self.nodes
            holds_on = pod.node in self.stuck or self._is_away(pod.node)
            over = pod.ended_s is not None and self.time_s >= pod.ended_s + END_S and not holds_on
            if gone or over:
                del self.pods[uid]
        self._control()
        self.taken = {name for name in self.taken if name in self.nodes and name not in self.serving()}

    def settle(self, *, within_s: float = 900, step_s: float = 5) -> None:
        """Let operator and cluster go on until nothing is left to do."""
        end_s = self.time_s + within_s
        while self.time_s < end_s:
            planned = self.reconcile()
            self.pass_time(step_s)
            if not (planned.apply or planned.delete or planned.status) and self.is_at_rest():
                return
        raise AssertionError(f"not within {within_s} s: {self.status}")

    def is_at_rest(self) -> bool:
        return self.condition("Progressing")["status"] == "False" and self.stage != "Waves"

    def condition(self, type_: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def serving(self) -> set[str]:
        return {pod.node for pod in self.pods.values() if pod.ended_s is None and self._is_ready(pod)}

    def _execute(self, planned: Plan) -> Iterator[Any]:
        for manifest in planned.apply:
            yield lambda manifest=manifest: self.apply(manifest)
        pods = [child for child in planned.delete if child["kind"] == "Pod"]
        if pods:
            yield lambda: self._delete(pods)
        for child in planned.delete:
            if child["kind"] != "Pod":
                yield lambda child=child: self.children.pop(ref_of(child))
        if planned.status is not None:
            yield lambda: self._write(planned.status)

    def apply(self, manifest: Manifest) -> None:
        before = self.children.get(ref_of(manifest), {})
        generation = before.get("metadata", {}).get("generation", 0)
        generation += before.get("spec") != manifest.get("spec")
        metadata = {**manifest["metadata"], "generation": generation, "uid": str(ref_of(manifest))}
        applied = {**manifest, "metadata": metadata, "status": before.get("status", {})}
        self.children[ref_of(manifest)] = copy.deepcopy(applied)

    def _delete(self, pods: list[Manifest]) -> None:
        mine = [self.pods[pod["metadata"]["uid"]] for pod in pods if pod["metadata"]["uid"] in self.pods]
        serving = [pod for pod in mine if self._is_ready(pod) and pod.ended_s is None]
        self.taken |= {pod.node for pod in serving}
        self.sacrificed += [pod.node for pod in serving if pod.image == GOOD]
        self.replaced.append((self.time_s, sorted(pod.node for pod in mine)))
        for pod in mine:
            pod.ended_s = self.time_s

    def _write(self, status: Manifest) -> None:
        self.status = copy.deepcopy(status)

    def _control(self) -> None:
        """Do what the DaemonSet's controller does."""
        daemon_set = self.children.get(DAEMON_SET)
        if daemon_set is None:
            self.pods.clear()
            return
        template = daemon_set["spec"]["template"]
        content = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        labels = {**template["metadata"]["labels"], "controller-revision-hash": content}
        number = 1 + max((kept["revision"] for kept in self.revisions.values()), default=0)
        known = self.revisions.get(content)
        if known is None or known["revision"] != number - 1:
            self.revisions[content] = {
                "metadata": {"labels": labels},
                "revision": number,
                "data": {"spec": {"template": {**template, "$patch": "replace"}}},
            }
        image = template["spec"]["containers"][0]["image"]
        occupied = {pod.node for pod in self.pods.values()}
        for name in self.nodes.keys() - occupied if image != FORBIDDEN else ():
            self._made += 1
            uid = f"pod-{self._made}"
            self.pods[uid] = Pod(uid=uid, node=name, labels=labels, image=image, created_s=self.time_s)
        desired, generation = len(self.nodes), daemon_set["metadata"]["generation"]
        daemon_set["status"] = {"observedGeneration": generation, "desiredNumberScheduled": desired}

    def _is_away(self, name: str) -> bool:
        return name in self.nodes and self.nodes[name]["status"]["conditions"][0]["status"] != "True"

    def _is_ready(self, pod: Pod) -> bool:
        fails = pod.image in BAD or (pod.image == BETTER and pod.node in self.sick)
        runs = not fails and self.time_s >= pod.created_s + START_S
        return runs and not self._is_away(pod.node)

    def _pod(self, pod: Pod) -> Manifest:
        ready = self._is_ready(pod)
        age_s = self.time_s - pod.created_s
        container: Manifest = {"name": "agent", "image": pod.image, "restartCount": 0}
        if pod.image == UNPULLABLE:
            container["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
        else:
            container["state"] = {"running": {"startedAt": _at(pod.created_s + 1)}}
        if pod.image == CRASHING:
            container["restartCount"] = int(age_s // RESTART_S)
        metadata = {
            "name": pod.uid,
            "namespace": "default",
            "uid": pod.uid,
            "labels": pod.labels,
            "creationTimestamp": _at(pod.created_s),
            **({"deletionTimestamp": _at(pod.ended_s + 30)} if pod.ended_s is not None else {}),
        }
        if pod.image == TOO_LARGE:
            return {"kind": "Pod", "metadata": metadata, **_homeless(pod.node)}
        since_s = pod.created_s + (START_S if ready else 0)
        return {
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"nodeName": pod.node},
            "status": {
                "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": _at(since_s)}],
                "containerStatuses": [container],
            },
        }

    def _view(self) -> ClusterView:
        serving = [pod for pod in self.pods.values() if pod.node in self.serving() and pod.image != SILENT]
        return ClusterView(leader="demo-hintsvc-0", nodes=[self._report(pod) for pod in serving])

    def _report(self, pod: Pod) -> NodeReport:
        state = SignalState.DEGRADED if pod.image == BLIND else SignalState.ACTIVE
        return NodeReport(
            agent="default/nodes",
            node=pod.node,
            at_unix_ms=int(self.now.timestamp() * 1000),
            signals=[Signal(name="TCPRoundTripTime", state=state, message="no BTF" if pod.image == BLIND else "")],
            cost=AgentCost(
                events=1000,
                lost=200 if pod.image == LOSSY else 0,
                cpu_us=900_000 if pod.image == GREEDY else 10_000,
            ),
        )


def _homeless(node: str) -> Manifest:
    """Return spec and status of a pod that is meant for a node, and finds no room there."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no memory is left"}
    return {"spec": {"affinity": {"nodeAffinity": required}}, "status": {"conditions": [scheduled]}}


def _at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def running(image: str, nodes: int, **rollout: Any) -> Fleet:
    """Return a fleet that has settled on an image."""
    fleet = Fleet(spec={"image": image, "rollout": rollout})
    fleet.add_nodes(*(f"node{i:04}" for i in range(nodes)))
    fleet.settle()
    assert fleet.stage == "Complete"
    fleet.replaced.clear()
    return fleet
