"""The nodes of a rollout, each with its agent: all that a decision looks at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.rollout.nodes import belongs_on, is_cordoned, is_ready, name_of
from tokenflow_operator.plan.rollout.revisions import revision_of

SETTLED_S: Final = 15
"""Seconds that a new agent must stay ready before it counts."""
_PRECISION_S: Final = 1.0
"""Kubernetes cuts its times to whole seconds: what is a second old there may have happened just now."""
_STUCK_S: Final = 60.0
"""Seconds past its grace period after which an agent that does not end is its node's trouble, not the rollout's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A node and its agent.

    Attributes:
        node: name of the node.
        pod: its agent; one that is leaving only where no other is there yet.
        away: the node is not ready: nothing can be done there, and nothing be held against it.
        cordoned: somebody works on the node.
    """

    node: str
    pod: Manifest | None
    away: bool = False
    cordoned: bool = False

    @property
    def revision(self) -> str:
        """Revision that runs, or is being started, here; empty where no agent is, or it leaves."""
        return revision_of(self.pod) if self.pod is not None and not self.is_leaving else ""

    @property
    def is_leaving(self) -> bool:
        """Whether its agent has been told to end."""
        return self.pod is not None and "deletionTimestamp" in self.pod["metadata"]

    @property
    def is_ready(self) -> bool:
        """Whether its agent serves."""
        return not self.is_leaving and self._readiness.get("status") == "True"

    @property
    def container(self) -> dict[str, Any]:
        """What the kubelet says of the agent's container; empty before it does."""
        statuses = self.pod.get("status", {}).get("containerStatuses", []) if self.pod else []
        first: dict[str, Any] = statuses[0] if statuses else {}
        return first

    def since_s(self, now: datetime) -> float:
        """Return the least seconds since its agent became ready or ceased to be, or was made where it never has."""
        if self.pod is None:
            return 0.0
        moment = self._readiness.get("lastTransitionTime") or self.pod["metadata"]["creationTimestamp"]
        return max(0.0, (now - datetime.fromisoformat(moment)).total_seconds() - _PRECISION_S)

    def is_settled(self, now: datetime) -> bool:
        """Return whether its agent has been ready for long enough to count on it."""
        return self.is_ready and self.since_s(now) >= SETTLED_S

    def is_stuck(self, now: datetime) -> bool:
        """Return whether its agent should have ended long ago."""
        if self.pod is None or not self.is_leaving:
            return False
        until = datetime.fromisoformat(self.pod["metadata"]["deletionTimestamp"])
        return (now - until).total_seconds() > _STUCK_S

    @property
    def _readiness(self) -> dict[str, Any]:
        conditions = self.pod.get("status", {}).get("conditions", []) if self.pod else []
        return next((c for c in conditions if c["type"] == "Ready"), {})


def sites_of(spec: TelemetryAgentSpec, pods: Iterable[Manifest], nodes: Sequence[Manifest] | None) -> tuple[Site, ...]:
    """Return the nodes that run an agent or should, by name.

    Args:
        spec: says which should.
        pods: the agents.
        nodes: of the cluster; ``None`` where they cannot be read: then every pod's node counts as being well.
    """
    agents: dict[str, Manifest] = {}
    for pod in pods:
        node = _node_of(pod)
        if node and (node not in agents or "deletionTimestamp" in agents[node]["metadata"]):
            agents[node] = pod
    if nodes is None:
        return tuple(Site(node=name, pod=pod) for name, pod in sorted(agents.items()))
    return tuple(
        Site(node=name, pod=agents.get(name), away=not is_ready(node), cordoned=is_cordoned(node))
        for name, node in sorted((name_of(node), node) for node in nodes)
        if name in agents or belongs_on(spec, node)
    )


def _node_of(pod: Manifest) -> str:
    """Return the node that the pod runs on, or that it is meant for where it has found no room yet."""
    spec = pod.get("spec", {})
    bound: str = spec.get("nodeName", "")
    return bound or next(_meant_for(spec), "")


def _meant_for(spec: Manifest) -> Iterator[str]:
    required = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    for term in required["nodeSelectorTerms"] if required else ():
        for field in term.get("matchFields", ()):
            if field["key"] == "metadata.name":
                yield field["values"][0]
