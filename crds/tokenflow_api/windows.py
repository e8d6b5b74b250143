"""Tables of what agents and gateways saw in one window.

Columns rather than rows, because a batch of a busy node has hundreds of windows and
msgpack of columns is half the size and a third of the decoding time.
"""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, model_validator

from tokenflow_api._base import WireModel

MAX_ROWS: Final = 4096
OTHER_CLASS: Final = "~other"
"""Destination class of all clients beyond the bound on classes."""
OTHER_ROUTE: Final = "~other"
"""Route of all requests that no template names."""

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Text = Annotated[str, StringConstraints(max_length=253)]
Counts = Annotated[list[Count], Field(max_length=MAX_ROWS)]
Known = Annotated[list[Count | None], Field(max_length=MAX_ROWS)]
"""Counts of which some could not be read: ``None``, never 0."""
Texts = Annotated[list[Text], Field(max_length=MAX_ROWS)]


class _Columns(WireModel):
    """Columns of one table: every list has one entry per row."""

    @model_validator(mode="after")
    def _equal_lengths(self) -> Self:
        columns: dict[str, list[object]] = self.__dict__
        if len({len(column) for column in columns.values()}) > 1:
            lengths = {name: len(column) for name, column in columns.items()}
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
    ``service_port`` is the port of the listening side. Everything is within the window unless said.

    ``segments`` counts received segments; ``samples`` those that acknowledged new data, each with one measured
    round-trip time: ``rtt_sum_us / samples`` is their mean, ``rtt_p*_us`` come from a log-linear histogram.
    ``srtt_us`` and ``rttvar_us`` are means of the kernel's smoothed values over the samples;
    ``path_min_rtt_us`` is the least sample of the last 10 s. ``sent`` counts segments sent, ``retransmits`` those
    sent again, ``spurious`` those sent again for nothing (DSACK), ``lost`` those that the kernel took for lost,
    ``out_of_order`` those received early. ``zero_windows`` counts times that the peer's window closed.
    ``connections`` had traffic; ``congested_connections`` of them were in recovery or loss at their last segment.
    ``unsent_bytes`` and ``unread_bytes`` are the most that one connection had waiting in its send and receive
    queue. ``delivery_bytes_per_second`` is the mean delivery rate that the kernel estimates for a connection.
    A column of ``None`` is what the backend in use cannot tell.
    """

    start_unix_ms: Counts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    pod_uid: Texts = []
    direction: Annotated[list[Direction], Field(max_length=MAX_ROWS)] = []
    service_port: Counts = []
    destination_class: Texts = []
    segments: Counts = []
    samples: Counts = []
    rtt_sum_us: Counts = []
    rtt_min_us: Counts = []
    rtt_max_us: Counts = []
    rtt_p50_us: Known = []
    rtt_p95_us: Known = []
    rtt_p99_us: Known = []
    srtt_us: Counts = []
    rttvar_us: Counts = []
    path_min_rtt_us: Counts = []
    sent: Known = []
    retransmits: Counts = []
    spurious: Known = []
    lost: Known = []
    out_of_order: Known = []
    resets: Known = []
    zero_windows: Known = []
    connections: Known = []
    congested_connections: Known = []
    unsent_bytes: Known = []
    unread_bytes: Known = []
    delivery_bytes_per_second: Known = []


class ListenWindows(_Columns):
    """Accept queue of one pod's listening port: its longest in the window and its limit, in connections.

    A full queue is one longer than its limit. ``drops`` counts connections that the kernel turned away at this
    port, ``overflows`` those of them that found the queue full. ``None`` is what the backend in use cannot tell.
    """

    start_unix_ms: Counts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    pod_uid: Texts = []
    service_port: Counts = []
    backlog: Counts = []
    backlog_limit: Known = []
    drops: Known = []
    overflows: Known = []


class HttpProtocol(StrEnum):
    """What was spoken over the connection."""

    HTTP1 = "HTTP1"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"


class HttpWindows(_Columns):
    """Requests that ended in the window, of one pod, port, protocol, method, route and outcome.

    ``route`` is a template, never a raw path, and ``~other`` where none fits. ``status`` is ``2xx`` … ``5xx``,
    ``aborted`` for a connection that ended first, and for gRPC the status' name. Latencies run from the first
    byte of the request to the end of the response, ``first_byte`` to its first byte. For streams of server-sent
    events, ``first_event`` is the time to the first one, ``gap`` the time between two; ``events`` and
    ``event_bytes`` are counted in the window itself, also of streams that go on.
    """

    start_unix_ms: Counts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    pod_uid: Texts = []
    direction: Annotated[list[Direction], Field(max_length=MAX_ROWS)] = []
    service_port: Counts = []
    tls: Annotated[list[bool], Field(max_length=MAX_ROWS)] = []
    protocol: Annotated[list[HttpProtocol], Field(max_length=MAX_ROWS)] = []
    method: Texts = []
    route: Texts = []
    status: Texts = []
    requests: Counts = []
    latency_sum_us: Counts = []
    latency_p50_us: Counts = []
    latency_p95_us: Counts = []
    latency_p99_us: Counts = []
    first_byte_p50_us: Counts = []
    first_byte_p99_us: Counts = []
    streams: Counts = []
    first_event_p50_us: Known = []
    first_event_p99_us: Known = []
    gap_p50_us: Known = []
    gap_p99_us: Known = []
    events: Counts = []
    event_bytes: Counts = []


class SqlSystem(StrEnum):
    """Which database protocol was spoken."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


class SqlWindows(_Columns):
    """Statements that ended in the window, of one pod, port, database protocol and verb.

    ``verb`` is the first keyword (``SELECT``), ``~other`` where it is none that is known; literals and names
    never leave the node.
    """

    start_unix_ms: Counts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    pod_uid: Texts = []
    direction: Annotated[list[Direction], Field(max_length=MAX_ROWS)] = []
    service_port: Counts = []
    system: Annotated[list[SqlSystem], Field(max_length=MAX_ROWS)] = []
    verb: Texts = []
    statements: Counts = []
    errors: Counts = []
    latency_sum_us: Counts = []
    latency_p50_us: Counts = []
    latency_p95_us: Counts = []
    latency_p99_us: Counts = []


class GpuSamples(_Columns):
    """State of each GPU, or MIG instance, of a node, from NVML.

    ``parent_uuid`` is the GPU of a MIG instance, empty for a whole GPU; ``index`` is the GPU's on the node, or the
    instance's on its GPU. ``throttle_reasons`` are NVML's, joined by commas, empty while the clock is free; a GPU
    that is merely idle has none. ``ecc_errors`` (uncorrected) and ``xid_errors`` count since the driver was loaded
    and since the agent started. ``None`` is what this device cannot tell.
    """

    at_unix_ms: Counts = []
    uuid: Texts = []
    parent_uuid: Texts = []
    index: Counts = []
    model: Texts = []
    utilization_percent: Known = []
    memory_used_bytes: Known = []
    memory_total_bytes: Known = []
    temperature_celsius: Known = []
    power_milliwatts: Known = []
    power_limit_milliwatts: Known = []
    sm_clock_mhz: Known = []
    throttle_reasons: Texts = []
    sm_occupancy_percent: Known = []
    ecc_errors: Known = []
    xid_errors: Known = []


class GpuProcesses(_Columns):
    """GPU memory that each pod's processes hold, by GPU or MIG instance."""

    uuid: Texts = []
    pod_namespace: Texts = []
    pod_name: Texts = []
    pod_uid: Texts = []
    memory_used_bytes: Counts = []


class StreamWindows(_Columns):
    """What a gateway's own sockets say of one tenant, upstream and destination class in one window.

    ``service_port`` and the pod name are what the agents see of the same sockets: the hint service joins
    the two by them. ``delivered_*`` count what the readers acknowledged within the window; ``unsent_bytes`` and
    ``min_rtt_us`` are as at its end, ``srtt_us`` is the mean over the streams of what they acknowledged last;
    ``retransmits`` is within the window.
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
