"""What is known of one window: of a path, of a bottleneck, of a node."""

from dataclasses import dataclass
from typing import Final

AGENT: Final = "agent"
GATEWAY: Final = "gateway"

STEP_MS: Final = 750
"""Windows of several reporters overlap: those that begin earlier than this after the last one are of the same."""
CLOCK_BACK_MS: Final = 10_000
"""A window so much older than the last one is no late one: somebody's clock was set."""


@dataclass(frozen=True, order=True, slots=True)
class Bottleneck:
    """What all tenants' streams through one upstream to one destination class share."""

    upstream: str
    destination_class: str


@dataclass(frozen=True, order=True, slots=True)
class PathKey:
    """A tenant's streams through one upstream to one destination class."""

    tenant: str
    upstream: str
    destination_class: str

    @property
    def path(self) -> str:
        """Name of the path within its tenant."""
        return f"{self.upstream}/{self.destination_class}"

    @property
    def bottleneck(self) -> Bottleneck:
        """What the path shares with those of other tenants."""
        return Bottleneck(self.upstream, self.destination_class)


@dataclass(frozen=True, order=True, slots=True)
class Port:
    """A listening port of a pod."""

    namespace: str
    pod: str
    port: int


@dataclass(frozen=True, order=True, slots=True)
class Socket:
    """Where agent and gateway meet: a pod's port, as one destination class uses it."""

    port: Port
    destination_class: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PathSample:
    """One window of a path; ``None`` is what nobody measured.

    Attributes:
        key: the path.
        at_ms: start of the newest window in it, in Unix milliseconds.
        rtt_us: mean round-trip time of the streams.
        rtt_min_us: the least of the window.
        retransmit_ratio: share of the segments sent that were sent again, 0 to 1.
        backlog_ratio: connections waiting for the gateway to accept them, as a share of its accept queue.
        http_p99_us: longest 99th percentile of the time to the first byte of the gateway's answers.
        http_error_ratio: share of the gateway's requests that failed or were broken off, 0 to 1.
        delivered_tokens_per_second: tokens that readers acknowledged, over all streams.
        delivered_bytes_per_second: the same in bytes.
        unsent_bytes: what waits in the gateway for the network to take it, over all streams.
        remembered_min_us: least round-trip time that the streams' connections remember, some for minutes.
        active_streams: streams open; 0 where no gateway told.
        sockets: where the streams end.
        missing: sides that saw nothing.
    """

    key: PathKey
    at_ms: int
    rtt_us: float | None
    rtt_min_us: float | None
    retransmit_ratio: float | None
    delivered_tokens_per_second: float | None
    active_streams: int
    missing: tuple[str, ...]
    backlog_ratio: float | None = None
    http_p99_us: float | None = None
    http_error_ratio: float | None = None
    delivered_bytes_per_second: float | None = None
    unsent_bytes: int | None = None
    remembered_min_us: float | None = None
    sockets: frozenset[Socket] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckSample:
    """One window of all paths of a bottleneck; units as in ``PathSample``.

    Attributes:
        at_ms: start of the newest window in it.
        rtt_us: mean round-trip time, each path weighed by its streams.
        rtt_min_us: the least of the window.
        remembered_min_us: the least that connections remember.
        retransmit_ratio: of the path that loses most.
        delivered_tokens_per_second: over all paths; ``None`` where a path's is not known.
        delivered_bytes_per_second: the same in bytes.
        unsent_s: how long what waits in the gateways takes to be delivered at the present rate.
        active_streams: over all paths.
    """

    at_ms: int
    rtt_us: float | None
    rtt_min_us: float | None
    remembered_min_us: float | None
    retransmit_ratio: float | None
    delivered_tokens_per_second: float | None
    delivered_bytes_per_second: float | None
    unsent_s: float | None
    active_streams: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSample:
    """State of one GPU; ``None`` is what the device cannot tell.

    Attributes:
        utilization: 0 to 1.
        memory: share of its memory in use, 0 to 1.
        temperature_celsius: of the core.
        throttled: whether its clock is held down by heat or power.
    """

    utilization: float | None
    memory: float | None
    temperature_celsius: float | None
    throttled: bool


@dataclass(frozen=True, order=True, slots=True)
class NodeKey:
    """A node, as one TelemetryAgent's agent reports it."""

    agent: str
    node: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSample:
    """One window of a node, over all its pods; units as in ``PathSample``.

    Attributes:
        key: the node.
        at_ms: start of the newest window in it.
        rtt_us: mean round-trip time.
        rtt_min_us: mean of the least round-trip times of late, weighed as the mean is.
        retransmit_ratio: over all connections.
        backlog_ratio: of the fullest accept queue.
        http_p99_us: longest 99th percentile of a time to the first byte.
        http_error_ratio: over all requests served.
        gpus: of the node; empty where there is none.
    """

    key: NodeKey
    at_ms: int
    rtt_us: float | None
    rtt_min_us: float | None
    retransmit_ratio: float | None
    backlog_ratio: float | None
    http_p99_us: float | None
    http_error_ratio: float | None
    gpus: tuple[GpuSample, ...]


def is_new(at_ms: int, *, last_ms: int) -> bool:
    """Whether a window that began at ``at_ms`` was not yet taken in when the last one began at ``last_ms``."""
    return not -CLOCK_BACK_MS < at_ms - last_ms < STEP_MS
