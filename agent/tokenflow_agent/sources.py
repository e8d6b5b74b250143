"""What the agent is made of: sources, each of which reads some signals of the node.

A source fails alone: whatever it cannot read is told in its signals, and the others go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tokenflow_api.telemetry import Signal
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_api.windows import (
    GpuProcesses,
    GpuSamples,
    HttpWindows,
    ListenWindows,
    SqlWindows,
    TcpWindows,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The time that is over now.

    Attributes:
        start_unix_ms: its start, by this node's clock.
        length_ms: how long it was.
    """

    start_unix_ms: int
    length_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A slow request that somebody traced.

    Attributes:
        namespace: of the pod.
        pod: its name.
        port: of the service.
        route: template of its path.
        trace_id: 32 hexadecimal digits, from ``traceparent``.
        latency_us: how long it took.
    """

    namespace: str
    pod: str
    port: int
    route: str
    trace_id: str
    latency_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What one source saw in one window. A table is filled by one source and left out by the others.

    Attributes:
        tcp: connections.
        listen: accept queues.
        http: requests.
        sql: statements.
        gpu: GPUs.
        gpu_processes: what pods hold of them.
        exemplars: the slowest traced requests, at most a few.
        events: kernel events that its programs met.
        lost: those of them that were not counted, by reason.
        outside: those of them that belong to no pod.
        map_usage_percent: how full each of its kernel maps was, by name.
        bpf_ns: time that its programs ran.
    """

    tcp: TcpWindows | None = None
    listen: ListenWindows | None = None
    http: HttpWindows | None = None
    sql: SqlWindows | None = None
    gpu: GpuSamples | None = None
    gpu_processes: GpuProcesses | None = None
    exemplars: Sequence[Exemplar] = ()
    events: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    outside: int = 0
    map_usage_percent: Mapping[str, float] = field(default_factory=dict)
    bpf_ns: int = 0


class Source(Protocol):
    """Reads some signals of the node."""

    @property
    def restarts(self) -> int:
        """How often what it reads by was begun anew after a failure."""

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be as ``spec`` asks: called before each window, so it must be cheap when nothing changed."""

    async def collect(self, window: Window) -> Findings:
        """Return what was seen since the last call; never raises for what the node cannot do."""

    def signals(self) -> Sequence[Signal]:
        """Return how each of its signals is read now, or why not."""

    async def close(self) -> None:
        """Let go of the kernel and of the devices."""
