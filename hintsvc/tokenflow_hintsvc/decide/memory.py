"""What the leader remembers from one round to the next, and leaves to the next leader."""

from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter

from tokenflow_hintsvc.decide.admission import Pressure
from tokenflow_hintsvc.decide.control import Control
from tokenflow_hintsvc.decide.health import Health
from tokenflow_hintsvc.decide.samples import Bottleneck, GpuSample, NodeKey, PathKey, Socket

KEPT_MS: Final = 60_000
"""Time that what nobody reports any more is remembered."""
READ_MS: Final = 90_000
"""Time that a reading of GPUs counts: an agent reads them more seldom than it reports, each minute at least."""
KEPT_PATHS: Final = 1024
"""Paths that are remembered, the ones seen last: clients from ever new networks must not fill the memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PathMemory:
    """What is remembered of a path.

    Attributes:
        seen_ms: when a gateway last reported it, by the leader's clock.
        told_ms: when its rate was last told.
        rate: tokens per second of one stream, as it was told, but for quotas.
        streams: open when a gateway last told.
        peak: tokens per second that its streams were delivered, the most of late.
        health: of the path.
        sockets: where its streams ended when a gateway last told.
        sampled_ms: start of the last window taken into its health.
    """

    seen_ms: int
    told_ms: int = 0
    rate: float | None = None
    streams: int = 1
    peak: float = 0.0
    health: Health = field(default_factory=Health)
    sockets: frozenset[Socket] = frozenset()
    sampled_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeMemory:
    """What is remembered of a node.

    Attributes:
        seen_ms: when it was last reported, by the leader's clock.
        sampled_ms: start of the last window taken into its health.
        network: health of what its pods say over the network.
        gpus: health of its GPUs; without signals where it has none.
        readings: what its GPUs last said; empty where that is long ago.
        read_ms: when they did, by the leader's clock.
    """

    seen_ms: int
    sampled_ms: int = 0
    network: Health = field(default_factory=Health)
    gpus: Health = field(default_factory=Health)
    readings: tuple[GpuSample, ...] = ()
    read_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """All that outlives a round."""

    paths: dict[PathKey, PathMemory] = field(default_factory=dict)
    bottlenecks: dict[Bottleneck, Control] = field(default_factory=dict)
    nodes: dict[NodeKey, NodeMemory] = field(default_factory=dict)
    pressure: Pressure = field(default_factory=Pressure)

    def sockets(self, *, now_ms: int) -> dict[PathKey, frozenset[Socket]]:
        """Return where the streams of each path end, as a gateway last told within ``KEPT_MS``."""
        return {key: path.sockets for key, path in self.paths.items() if path.seen_ms > now_ms - KEPT_MS}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Document:
    """A memory as it is written: JSON's keys are strings, so that each entry is a pair."""

    paths: list[tuple[PathKey, PathMemory]]
    bottlenecks: list[tuple[Bottleneck, Control]]
    nodes: list[tuple[NodeKey, NodeMemory]]
    pressure: Pressure


_ADAPTER: Final = TypeAdapter(_Document)


def written(memory: Memory) -> bytes:
    """Return a memory as JSON."""
    return _ADAPTER.dump_json(
        _Document(
            paths=list(memory.paths.items()),
            bottlenecks=list(memory.bottlenecks.items()),
            nodes=list(memory.nodes.items()),
            pressure=memory.pressure,
        )
    )


def read(data: bytes) -> Memory:
    """Return the memory that ``written`` wrote.

    Raises:
        pydantic.ValidationError: another version wrote it.
    """
    document = _ADAPTER.validate_json(data)
    return Memory(
        paths=dict(document.paths),
        bottlenecks=dict(document.bottlenecks),
        nodes=dict(document.nodes),
        pressure=document.pressure,
    )
