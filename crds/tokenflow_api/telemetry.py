"""What agents and gateways report: columnar windows, and the reply to them.

Columns rather than rows, because a batch of a busy node has hundreds of windows and
msgpack of columns is half the size and a third of the decoding time.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tokenflow_api._base import WireModel
from tokenflow_api.meta import Name
from tokenflow_api.telemetry_agent import TelemetryAgentSpec

SCHEMA: Final = 1
MAX_ROWS: Final = 4096
OTHER_CLASS: Final = "~other"
"""Destination class of all clients beyond the bound on classes."""

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Text = Annotated[str, StringConstraints(max_length=253)]
Counts = Annotated[list[Count], Field(max_length=MAX_ROWS)]
Texts = Annotated[list[Text], Field(max_length=MAX_ROWS)]


class _Columns(WireModel):
    """Columns of one table: every list has one entry per row."""

    @model_validator(mode="after")
    def _equal_lengths(self) -> Self:
        lengths = {name: len(getattr(self, name)) for name in type(self).model_fields}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")
        return self

    def __len__(self) -> int:
        first = next(iter(type(self).model_fields))
        return len(getattr(self, first))


class Direction(StrEnum):
    """Which side of the connection the pod is."""

    SERVED = "Served"
    DIALED = "Dialed"


class TcpWindows(_Columns):
    """TCP health of one pod, service port and destination class in one window, from the kernel.

    ``destination_class`` is the remote side's prefix (``192.0.2.0/24``), at most 512 per node.
    ``service_port`` is the port of the listening side. ``segments`` counts received segments, each with
    one round-trip time, so that ``rtt_sum_us / segments`` is their mean.
    """

    start_unix_ms: Counts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    pod_uid: Texts = []
    direction: Annotated[list[Direction], Field(max_length=MAX_ROWS)] = []
    service_port: Counts = []
    destination_class: Texts = []
    segments: Counts = []
    rtt_sum_us: Counts = []
    rtt_min_us: Counts = []
    rtt_max_us: Counts = []
    retransmits: Counts = []


class GpuSamples(_Columns):
    """State of each GPU of a node, from NVML."""

    at_unix_ms: Counts = []
    uuid: Texts = []
    utilization_percent: Counts = []
    memory_used_bytes: Counts = []
    memory_total_bytes: Counts = []
    temperature_celsius: Counts = []
    power_milliwatts: Counts = []


class StreamWindows(_Columns):
    """What a gateway's own sockets say of one tenant, upstream and destination class in one window.

    ``service_port`` and the pod name are what the agents see of the same sockets: the hint service joins
    the two by them. ``delivered_*`` count what the readers acknowledged within the window; ``unsent_bytes``,
    ``srtt_us`` (mean) and ``min_rtt_us`` are as at its end; ``retransmits`` is within the window.
    """

    start_unix_ms: Counts = []
    tenant: Texts = []
    upstream: Texts = []
    destination_class: Texts = []
    service_port: Counts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    active_streams: Counts = []
    delivered_tokens: Counts = []
    delivered_bytes: Counts = []
    unsent_bytes: Counts = []
    srtt_us: Counts = []
    min_rtt_us: Counts = []
    retransmits: Counts = []


class SignalState(StrEnum):
    """How well a signal is read."""

    ACTIVE = "Active"
    DEGRADED = "Degraded"
    OFF = "Off"


class Signal(WireModel):
    """One signal of a node: read how, or why not."""

    name: Text
    backend: Text = ""
    state: SignalState
    reason: Text = ""
    message: Annotated[str, StringConstraints(max_length=1024)] = ""


class Reporter(StrEnum):
    """Which program sent a batch."""

    AGENT = "Agent"
    GATEWAY = "Gateway"


class TelemetryBatch(WireModel):
    """One delivery of a reporter. ``(node, boot_id, sequence)`` names it for ever.

    ``node`` is the node's name for an agent, the pod's name for a gateway. ``boot_id`` changes with each start
    of the reporter, ``sequence`` counts from 1 within it.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    reporter: Reporter
    agent: Text = ""
    node: Text
    boot_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    sequence: Annotated[int, Field(ge=1)]
    sent_at_unix_ms: Count
    window_ms: Annotated[int, Field(ge=100, le=600_000)] = 1000
    tcp: TcpWindows = TcpWindows()
    gpu: GpuSamples = GpuSamples()
    streams: StreamWindows = StreamWindows()
    signals: Annotated[list[Signal], Field(max_length=64)] = []


class IngestAddress(WireModel):
    """Where an agent delivers for one policy."""

    policy: Name
    url: str


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
