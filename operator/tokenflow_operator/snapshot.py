"""What was observed of a resource: the whole input of its plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

from tokenflow_api.cluster import ClusterView
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.errors import FieldClaim
from tokenflow_operator.keys import Key
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.notify.model import NotifierState

SpecT = TypeVar("SpecT", PacingPolicySpec, TelemetryAgentSpec)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource(Generic[SpecT]):
    """A resource of ours.

    Attributes:
        spec: what it asks for.
        status: what was last written to it, as it stands in the API.
        status_written_at: when the operator last changed the status, by the API server's clock.
        created_at: RFC 3339; the older of two resources comes first.
        annotations: those of its metadata.
    """

    key: Key
    uid: str
    generation: int
    spec: SpecT
    created_at: str = ""
    status: Mapping[str, Any]
    status_written_at: datetime | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


Policy = Resource[PacingPolicySpec]
Agent = Resource[TelemetryAgentSpec]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """All that the operator looks after, whoever's plan it concerns.

    Attributes:
        policies: in any namespace.
        agents: likewise.
        nodes: all nodes of the cluster; ``None`` where the operator may not read them.
    """

    policies: tuple[Policy, ...]
    agents: tuple[Agent, ...]
    nodes: tuple[Manifest, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A child that the Kubernetes API would not take.

    Attributes:
        claims: fields of it that other managers hold, where these are the cause.
    """

    ref: ObjectRef
    message: str
    claims: tuple[FieldClaim, ...] = ()


class Silence(Enum):
    """In which way a hint service says nothing."""

    UNREACHABLE = "does not answer"
    FAILING = "cannot tell its state"
    """As it is without Redis."""
    REFUSED = "does not accept the operator's token"
    UNTRUSTED = "shows a certificate that is not to be believed"


@dataclass(frozen=True, kw_only=True, slots=True)
class HintServiceState:
    """What a policy's hint service says of itself, or why it says nothing.

    Attributes:
        view: what it last said, for the short while too in which it does not answer.
        error: why it says nothing.
        silence: in which way it says nothing, where it does not.
        pending: it has only just been asked for the first time: nothing is known yet, bad or good.
    """

    view: ClusterView | None = None
    error: str = ""
    silence: Silence = Silence.UNREACHABLE
    pending: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """The state around a resource.

    Attributes:
        children: objects that carry its label, and objects of others that have a name it needs.
        pods: the pods of its workloads.
        refusals: what could not be applied in this pass.
        served: optional kinds that the API serves at present, by name.
    """

    children: Mapping[ObjectRef, Manifest]
    pods: tuple[Manifest, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    served: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySnapshot:
    """A PacingPolicy and all that its plan depends on.

    Attributes:
        policies: all policies that the operator looks after, in any namespace, itself among them.
        agents: likewise all TelemetryAgents.
        notifiers: what this process knows of its notifiers, by name.
    """

    policy: Policy
    policies: tuple[Policy, ...]
    agents: tuple[Agent, ...]
    cluster: Cluster
    hint_service: HintServiceState
    notifiers: Mapping[str, NotifierState] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSnapshot:
    """A TelemetryAgent and all that its plan depends on.

    Attributes:
        policies: all policies that the operator looks after, in any namespace.
        agents: likewise all TelemetryAgents, itself among them.
        nodes: all nodes of the cluster; ``None`` where the operator may not read them.
        revisions: the ControllerRevisions of its DaemonSet.
        hint_services: what the hint service of each policy that names the agent says.
        addresses: where these answer at present.
    """

    agent: Agent
    policies: tuple[Policy, ...]
    agents: tuple[Agent, ...]
    nodes: tuple[Manifest, ...] | None
    revisions: tuple[Manifest, ...]
    cluster: Cluster
    hint_services: tuple[HintServiceState, ...]
    addresses: Mapping[Key, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidSnapshot:
    """A resource whose spec this operator cannot read."""

    key: Key
    uid: str
    generation: int
    status: Mapping[str, Any]
    error: str


Snapshot = PolicySnapshot | AgentSnapshot | InvalidSnapshot


def with_children(snapshot: Snapshot, children: Mapping[ObjectRef, Manifest]) -> Snapshot:
    """Return a snapshot in which there are further objects around the resource."""
    if isinstance(snapshot, InvalidSnapshot):
        return snapshot
    cluster = replace(snapshot.cluster, children={**snapshot.cluster.children, **children})
    return replace(snapshot, cluster=cluster)
