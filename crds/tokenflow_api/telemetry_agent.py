"""The TelemetryAgent resource: what measures on every node."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from tokenflow_api._base import ApiModel
from tokenflow_api._rules import LIST_ATOMIC, LIST_SET, Rule, list_map
from tokenflow_api.meta import Condition, LabelValues, Resources, Toleration
from tokenflow_api.observability import Observability
from tokenflow_api.quantities import Duration, Quantity, amount, seconds

KIND: Final = "TelemetryAgent"
PLURAL: Final = "telemetryagents"

MIN_INTERVAL_S: Final = 1.0
MAX_INTERVAL_S: Final = 60.0
MAX_CANARY_S: Final = 86400.0
MIN_DEADLINE_S: Final = 30.0
MAX_DEADLINE_S: Final = 86400.0
MIN_SPOOL_BYTES: Final = 1 << 20
MAX_SPOOL_BYTES: Final = 16 << 30


PAUSE_ANNOTATION: Final = "tokenflow.io/rollout-paused"
"""With the value ``true`` no further node gets the new revision."""
UNDO_ANNOTATION: Final = "tokenflow.io/rollout-undo"
"""A revision that is not wanted, as if it had failed: the last good one takes its place."""
RETRY_ANNOTATION: Final = "tokenflow.io/rollout-retry"
"""Any new value gives a failed revision another chance."""


class AgentSecurity(StrEnum):
    """What the agent's container may do on the node."""

    CAPABILITIES = "Capabilities"
    PRIVILEGED = "Privileged"


class Backend(StrEnum):
    """Ways to read a signal from the kernel."""

    AUTO = "Auto"
    BTF_TRACEPOINT = "BTFTracepoint"
    BCC_TRACEPOINT = "BCCTracepoint"
    KPROBE = "Kprobe"
    SOCK_DIAG = "SockDiag"
    PROC = "Proc"


class Probe(StrEnum):
    """Signals that the agent can read."""

    TCP_ROUND_TRIP_TIME = "TCPRoundTripTime"
    TCP_RETRANSMIT = "TCPRetransmit"
    LISTEN_BACKLOG = "ListenBacklog"
    HTTP_LATENCY = "HTTPLatency"
    TLS_LATENCY = "TLSLatency"
    SQL_LATENCY = "SQLLatency"


class GpuMode(StrEnum):
    """Whether GPUs are read, and whether their absence matters."""

    AUTO = "Auto"
    REQUIRED = "Required"
    OFF = "Off"


class Ebpf(ApiModel):
    """What is read from the kernel, and how."""

    backend: Backend = Field(
        default=Backend.AUTO,
        description="How signals are read. Auto takes the best that each node offers, signal by signal.",
    )
    probes: Annotated[list[Probe], Field(min_length=1, max_length=16), LIST_SET] = Field(
        default=[Probe.TCP_ROUND_TRIP_TIME, Probe.TCP_RETRANSMIT],
        description="Signals to read.",
    )
    sample_one_in: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1,
        description="Measure one segment in so many, and count it so often: for nodes with hundreds of thousands of"
        " segments per second.",
    )


class Http(ApiModel):
    """How HTTP requests are named in telemetry."""

    path_templates: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^/[^?# ]*$", max_length=256)]], Field(max_length=128), LIST_SET
    ] = Field(
        default=["/v1/*"],
        description="Route templates that requests are counted under; * is one segment, so that /*/* takes all calls "
        "of gRPC. Others count as ~other.",
    )
    redact_headers: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$", max_length=64)]],
        Field(max_length=64),
        LIST_SET,
    ] = Field(default=[], description="Headers never looked at, besides those that carry credentials.")


class Gpu(ApiModel):
    """How GPUs are read."""

    mode: GpuMode = Field(
        default=GpuMode.AUTO,
        description='Auto reads GPUs where there are some; Required calls a node without one degraded; "Off" (in'
        " quotes) reads none.",
    )
    interval: Duration = Field(default="2s", description="Time between two readings, 1s to 60s.")

    rules = (
        Rule(
            cel="duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('60s')",
            check=lambda self: MIN_INTERVAL_S <= seconds(self.interval) <= MAX_INTERVAL_S,
            message="interval must be between 1s and 60s: write a value such as 2s",
            field_path=".interval",
        ),
    )


class Spool(ApiModel):
    """Where telemetry waits while a hint service is out of reach."""

    max_size: Quantity = Field(
        default="64Mi", description="Most bytes kept on the node's disk; beyond it the oldest are dropped, and counted."
    )

    rules = (
        Rule(
            cel="quantity(string(self.maxSize)).compareTo(quantity('1Mi')) >= 0"
            " && quantity(string(self.maxSize)).compareTo(quantity('16Gi')) <= 0",
            check=lambda self: MIN_SPOOL_BYTES <= amount(self.max_size) <= MAX_SPOOL_BYTES,
            message="maxSize must be between 1Mi and 16Gi: write a value such as 64Mi",
            field_path=".maxSize",
        ),
    )


class Canary(ApiModel):
    """The few nodes that try a new revision first."""

    nodes: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1, description="How many nodes try first; 0 goes straight to the waves."
    )
    duration: Duration = Field(default="60s", description="How long they must stay well.")
    node_selector: LabelValues = Field(
        default={}, description="Labels of the nodes that may try first; empty is any that runs an agent."
    )
    max_restarts: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1, description="Restarts of an agent on a canary node beyond which the revision has failed."
    )
    max_lost_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        default=5, description="Share of events lost on a canary node beyond which the revision has failed."
    )
    max_cpu_percent: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=50, alias="maxCPUPercent", description="Use of one core by an agent on a canary node, likewise."
    )

    rules = (
        Rule(
            cel="duration(self.duration) <= duration('24h')",
            check=lambda self: seconds(self.duration) <= MAX_CANARY_S,
            message="duration must be at most 24h: write a value such as 60s",
            field_path=".duration",
        ),
    )


class Rollout(ApiModel):
    """How a new revision reaches the nodes.

    Annotations steer a rollout by hand: see ``PAUSE_ANNOTATION`` and its siblings.
    """

    max_unavailable_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="Share of the nodes that may be without a ready agent at once; at least one node."
    )
    canary: Canary = Field(default=Canary(), description="The few nodes that try a new revision first.")
    auto_rollback: bool = Field(
        default=True, description="Go back to the last good revision by itself when the new one fails."
    )
    progress_deadline: Duration = Field(
        default="10m", description="How long a node's new agent may take to be ready before it has failed there."
    )

    rules = (
        Rule(
            cel="duration(self.progressDeadline) >= duration('30s')"
            " && duration(self.progressDeadline) <= duration('24h')",
            check=lambda self: MIN_DEADLINE_S <= seconds(self.progress_deadline) <= MAX_DEADLINE_S,
            message="progressDeadline must be between 30s and 24h: write a value such as 10m",
            field_path=".progressDeadline",
        ),
    )


class TelemetryAgentSpec(ApiModel):
    """What to run on which nodes, and what to read there."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = Field(
        default=None, description="Image of the agent; by default the one that the operator was installed with."
    )
    node_selector: LabelValues = Field(default={}, description="Labels of the nodes to run on; empty is every node.")
    tolerations: Annotated[list[Toleration], Field(max_length=32), LIST_ATOMIC] = Field(
        default=[], description="Taints to put up with; empty tolerates all of them."
    )
    interval: Duration = Field(default="1s", description="Length of a telemetry window, 1s to 60s.")
    security: AgentSecurity = Field(
        default=AgentSecurity.CAPABILITIES,
        description="Capabilities runs with BPF, PERFMON, SYS_PTRACE alone; Privileged is for runtimes lacking these.",
    )
    ebpf: Ebpf = Field(default=Ebpf(), description="What is read from the kernel, and how.")
    http: Http = Field(default=Http(), description="How HTTP requests are named in telemetry.")
    gpu: Gpu = Field(default=Gpu(), description="How GPUs are read.")
    spool: Spool = Field(default=Spool(), description="Where telemetry waits while a hint service is out of reach.")
    resources: Resources = Field(default=Resources(), description="CPU and memory of the agent.")
    observability: Observability = Field(default=Observability(), description="What the agents tell of themselves.")
    rollout: Rollout = Field(default=Rollout(), description="How a new revision reaches the nodes.")

    rules = (
        Rule(
            cel="duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('60s')",
            check=lambda self: MIN_INTERVAL_S <= seconds(self.interval) <= MAX_INTERVAL_S,
            message="interval must be between 1s and 60s: write a value such as 1s",
            field_path=".interval",
        ),
    )


class BackendCount(ApiModel):
    """How many nodes read a signal in which way."""

    name: Annotated[str, StringConstraints(max_length=128)] = Field(
        description="Signal and backend, such as TCPRoundTripTime/BTFTracepoint."
    )
    nodes: int = Field(ge=0, description="Number of nodes.")


class DegradedNode(ApiModel):
    """A node on which something cannot be read."""

    name: Annotated[str, StringConstraints(max_length=253)] = Field(description="Name of the node.")
    reason: Annotated[str, StringConstraints(max_length=256)] = Field(description="CamelCase word for the cause.")
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="What is missing, and what to do."
    )


class RolloutStage(StrEnum):
    """How far a revision has come."""

    CANARY = "Canary"
    WAVES = "Waves"
    PAUSED = "Paused"
    FAILED = "Failed"
    """The revision failed and stays where it is: there is no last good one, or autoRollback is off."""
    ROLLED_BACK = "RolledBack"
    """The last good revision runs, or is being brought back, in place of the failed one."""
    COMPLETE = "Complete"


class RolloutStatus(ApiModel):
    """How far the present revision has come, and why it stopped."""

    stage: RolloutStage = Field(default=RolloutStage.COMPLETE, description="How far the revision has come.")
    canary_nodes: Annotated[
        list[Annotated[str, StringConstraints(max_length=253)]], Field(max_length=100), LIST_SET
    ] = Field(default=[], description="Nodes that try the revision first.")
    since: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="When the rollout last came further, RFC 3339 in UTC."
    )
    failed_revision: Annotated[str, StringConstraints(max_length=128)] = Field(
        default="", description="Revision that failed and is not tried again, until the spec or an annotation changes."
    )
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="Why it failed, or what it waits for."
    )
    retried: Annotated[str, StringConstraints(max_length=256)] = Field(
        default="", description="Value of the retry annotation that was heeded last."
    )


class TelemetryAgentStatus(ApiModel):
    """What runs, and how well."""

    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec that this was judged on.")
    conditions: Annotated[list[Condition], Field(max_length=16), list_map("type")] = Field(
        default=[], description="Ready sums up; Progressing and Degraded say more."
    )
    desired: int = Field(default=0, ge=0, description="Nodes that should run an agent.")
    updated: int = Field(default=0, ge=0, description="Nodes that run the current revision.")
    ready: int = Field(default=0, ge=0, description="Nodes whose agent is ready.")
    degraded: int = Field(default=0, ge=0, description="Nodes on which something cannot be read.")
    revision: Annotated[str, StringConstraints(max_length=128)] = Field(
        default="", description="Revision being rolled out, or rolled out."
    )
    last_good_revision: Annotated[str, StringConstraints(max_length=128)] = Field(
        default="", description="Revision that a rollback returns to."
    )
    rollout: RolloutStatus | None = Field(default=None, description="How far the present revision has come.")
    backends: Annotated[list[BackendCount], Field(max_length=64), list_map("name")] = Field(
        default=[], description="Which signals are read in which way, on how many nodes."
    )
    degraded_nodes: Annotated[list[DegradedNode], Field(max_length=64), list_map("name")] = Field(
        default=[], description="The first nodes on which something cannot be read, with the reason."
    )


class TelemetryAgent(ApiModel):
    """TelemetryAgent measures the network, the sockets and the GPUs of every node that it runs on."""

    api_version: Literal["tokenflow.io/v1alpha1"] = "tokenflow.io/v1alpha1"
    kind: Literal["TelemetryAgent"] = "TelemetryAgent"
    spec: TelemetryAgentSpec = Field(default=TelemetryAgentSpec(), description="What to run and what to read.")
    status: TelemetryAgentStatus = Field(
        default=TelemetryAgentStatus(), description="What runs, and how well. Written by the operator."
    )
