"""What agents and gateways report: batches of windows, and the reply to them."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from tokenflow_api._base import WireModel
from tokenflow_api.meta import Name
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_api.windows import (
    Count,
    GpuProcesses,
    GpuSamples,
    HttpWindows,
    ListenWindows,
    SqlWindows,
    StreamWindows,
    TcpWindows,
    Text,
)

SCHEMA: Final = 1


class SignalState(StrEnum):
    """How well a signal is read."""

    ACTIVE = "Active"
    DEGRADED = "Degraded"
    OFF = "Off"


class Signal(WireModel):
    """One signal of a node: read how, or why not.

    A signal that is read in a lesser way than the best one is ``Degraded`` too: ``backend`` names the way, the
    reason says why the better one was refused. ``backend`` is empty where nothing is read.
    """

    name: Text
    backend: Text = ""
    state: SignalState
    reason: Text = ""
    message: Annotated[str, StringConstraints(max_length=1024)] = ""


class AgentCost(WireModel):
    """What the agent itself cost and lost within the window.

    ``cpu_us`` is processor time of its process, ``bpf_us`` that of its programs in the kernel. ``events`` met its
    programs, ``lost`` of them were not counted; ``spool_bytes`` wait on the disk, the oldest for ``send_lag_ms``.
    """

    cpu_us: Count = 0
    bpf_us: Count = 0
    resident_bytes: Count = 0
    events: Count = 0
    lost: Count = 0
    map_usage_percent: Annotated[int, Field(ge=0, le=100)] = 0
    spool_bytes: Count = 0
    spool_dropped: Count = 0
    send_lag_ms: Count = 0


class Reporter(StrEnum):
    """Which program sent a batch."""

    AGENT = "Agent"
    GATEWAY = "Gateway"


class TelemetryBatch(WireModel):
    """One delivery of a reporter. ``(node, boot_id, sequence)`` names it for ever.

    ``node`` is the node's name for an agent, the pod's name for a gateway. ``boot_id`` changes with each start
    of the reporter, ``sequence`` counts from 1 within it. ``clock_offset_ms`` is what must be added to the
    stamps to get the receiver's time, give or take ``clock_error_ms``; ``None`` there means that no exchange has
    bounded it yet.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    reporter: Reporter
    agent: Text = ""
    node: Text
    boot_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    sequence: Annotated[int, Field(ge=1, le=2**53)]
    sent_at_unix_ms: Count
    window_ms: Annotated[int, Field(ge=100, le=600_000)] = 1000
    clock_offset_ms: int = 0
    clock_error_ms: Count | None = None
    tcp: TcpWindows = TcpWindows()
    listen: ListenWindows = ListenWindows()
    http: HttpWindows = HttpWindows()
    sql: SqlWindows = SqlWindows()
    gpu: GpuSamples = GpuSamples()
    gpu_processes: GpuProcesses = GpuProcesses()
    streams: StreamWindows = StreamWindows()
    signals: Annotated[list[Signal], Field(max_length=64)] = []
    cost: AgentCost = AgentCost()


class IngestAddress(WireModel):
    """Where an agent delivers for one policy, and by which certificates in PEM it knows the receiver at https.

    No ``authorities`` are those of the agent's system.
    """

    policy: Name
    url: str
    authorities: str = ""


class AgentConfig(WireModel):
    """All settings of the agents of one TelemetryAgent, in its ConfigMap and in the reply to each batch."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    namespace: Name
    name: Name
    generation: Count
    spec: TelemetryAgentSpec
    ingest: Annotated[list[IngestAddress], Field(max_length=8)] = []


class BatchReply(WireModel):
    """Acknowledges a batch. ``received_at_unix_ms`` lets the sender estimate its clock's offset."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    sequence: int
    duplicate: bool = False
    received_at_unix_ms: Count
    config: AgentConfig | None = None
