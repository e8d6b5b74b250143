"""The kernel's half: programs that see what processes read from and write to their TCP sockets."""

import os
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tokenflow_agent.errors import KernelError, ProbeError
from tokenflow_agent.kernel.bpf import ProgramType, attach_raw_tracepoint, attach_uprobe
from tokenflow_agent.kernel.cost import spent_ns
from tokenflow_agent.kernel.loader import Loaded, Program, Step, Unit, load
from tokenflow_agent.kernel.maps import BpfMap, processors, summed
from tokenflow_agent.kernel.ringbuf import RingBuffer
from tokenflow_agent.l7.hooks import FUNCTIONS, OFFSETS, RETURN, STEPS, TLS_STEPS, Way
from tokenflow_agent.l7.machine import this_machine
from tokenflow_agent.l7.record import HEAD_BYTES, Record, decode
from tokenflow_agent.l7.streams import SUMS
from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_api.telemetry_agent import Probe

MAX_CONNECTIONS: Final = 16_384
MAX_EXCHANGES: Final = 4096
MAX_STREAMS: Final = 4096
MAX_THREADS: Final = 8192
RING_BYTES: Final = 1 << 20
_SOURCE: Final = Path(__file__).parent / "program.c"
_MAPS: Final = ("counters", "records", "streams", "wanted", "steps", "tls_steps")
_WANTED: Final = {Probe.HTTP_LATENCY: 1, Probe.SQL_LATENCY: 2, Probe.TLS_LATENCY: 4}
_STREAM: Final = struct.Struct(f"{HEAD_BYTES + SUMS.size + 8}s")
_SLOT: Final = struct.Struct("=I")


class _Counted(NamedTuple):
    """What the programs counted since they were loaded: ``struct counters``."""

    runs: int = 0
    timed: int = 0
    timed_ns: int = 0
    records: int = 0
    ring_full: int = 0
    evicted: int = 0
    opened: int = 0
    closed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What the programs counted since the last call.

    Attributes:
        events: records that they made.
        lost: exchanges that did not get through, by reason.
        map_usage_percent: how full each kernel map is, by name.
        bpf_ns: time that they ran.
    """

    events: int
    lost: Mapping[str, int]
    map_usage_percent: Mapping[str, float]
    bpf_ns: int


class L7Probe:
    """Attached to the kernel until ``close``."""

    def __init__(self, loaded: Loaded, links: Sequence[int], *, ring_bytes: int) -> None:
        self._loaded = loaded
        self._links = links
        self._ring = RingBuffer(loaded.maps["records"], size=ring_bytes)
        self._counters = BpfMap(loaded.maps["counters"], key=_SLOT, value=struct.Struct("=" + "8Q" * processors()))
        self._streams = BpfMap(loaded.maps["streams"], key=struct.Struct("=Q"), value=_STREAM)
        self._wanted = BpfMap(loaded.maps["wanted"], key=_SLOT, value=_SLOT)
        self._counted = _Counted()
        self._evicted = 0

    def want(self, probes: Collection[Probe]) -> None:
        """Look for what these probes read, from the next new connection on.

        Raises:
            OSError: the kernel refused.
        """
        self._wanted.put((0,), (sum(_WANTED[probe] for probe in probes),))

    def fileno(self) -> int:
        """Return the descriptor that is readable while records are waiting."""
        return self._loaded.maps["records"]

    def records(self, *, most: int) -> Iterator[bytes]:
        """Yield the records that are waiting, at most ``most``."""
        return self._ring.read(most=most)

    def counts(self) -> Counts:
        """Return what was counted since the last call.

        Raises:
            ProbeError: the kernel refused to read it.
        """
        try:
            counted = self._count()
        except OSError as error:
            raise ProbeError("MapUnreadable", f"the kernel refused to read a map: {error}") from error
        new = _Counted(*(now - before for now, before in zip(counted, self._counted, strict=True)))
        # The kernel forgets the connections that were idle longest without a word; what was opened tells.
        live = counted.opened - counted.closed - self._evicted
        pushed_out = max(0, live - MAX_CONNECTIONS)
        self._counted, self._evicted = counted, self._evicted + pushed_out
        return Counts(
            events=new.records,
            lost={"RingFull": new.ring_full, "Evicted": new.evicted + pushed_out},
            map_usage_percent={
                "l7_connections": 100.0 * (live - pushed_out) / MAX_CONNECTIONS,
                "l7_records": self._ring.usage_percent,
            },
            bpf_ns=spent_ns(new.runs, timed=counted.timed, timed_ns=counted.timed_ns),
        )

    def stream(self, connection: int) -> Record | None:
        """Return the stream that is under way on a connection, with its sums; ``None`` where there is none.

        Raises:
            OSError: the kernel refused to read it.
        """
        value = self._streams.get(connection)
        return None if value is None else decode(*value)

    def hook(self, library: Path, offsets: Mapping[str, int]) -> list[int]:
        """Return the descriptors that keep a TLS library watched, in all processes that use it.

        Args:
            library: its file.
            offsets: of those of its functions that it has, in bytes.

        Raises:
            KernelError: the kernel refused.
        """
        links: list[int] = []
        try:
            for name in FUNCTIONS.keys() & offsets.keys():
                program = self._loaded.programs[FUNCTIONS[name]]
                links.append(attach_uprobe(program, library, offsets[name]))
                if name != "SSL_free":
                    program = self._loaded.programs[RETURN]
                    links.append(attach_uprobe(program, library, offsets[name], at_return=True))
        except KernelError:
            for link in links:
                os.close(link)
            raise
        return links

    def close(self) -> None:
        """Detach: the kernel drops the programs with their last descriptor."""
        self._ring.close()
        self._loaded.close()
        for link in self._links:
            os.close(link)

    def _count(self) -> _Counted:
        return _Counted._make(summed(self._counters.get(0) or (), members=len(_Counted._fields)))


async def open_probe(way: Way, *, ring_bytes: int = RING_BYTES) -> L7Probe:
    """Attach to what moves data of TCP sockets, and to their states.

    Args:
        way: how, and to which events.
        ring_bytes: room for records that wait to be read.

    Raises:
        ProbeError: the node does not allow it.
    """
    sizes = {
        "MAX_CONNECTIONS": MAX_CONNECTIONS,
        "MAX_EXCHANGES": MAX_EXCHANGES,
        "MAX_STREAMS": MAX_STREAMS,
        "MAX_THREADS": MAX_THREADS,
        "BUCKETS": BUCKETS,
        "RING_BYTES": ring_bytes,
    }
    loaded = await load(
        Unit(
            source=_SOURCE,
            programs=[
                *(Program(name, way.kind, name) for name in way.tracepoints),
                *(Program(name, way.kind, way.tracepoints[0]) for name in sorted({*STEPS.values()})),
                *(Program(name, ProgramType.KPROBE) for name in (*FUNCTIONS.values(), RETURN, *TLS_STEPS.values())),
            ],
            steps=[
                *(Step("steps", slot, name) for slot, name in STEPS.items()),
                *(Step("tls_steps", slot, name) for slot, name in TLS_STEPS.items()),
            ],
            maps=_MAPS,
            constants={**this_machine().constants, **sizes, **way.macros},
            offsets=OFFSETS,
        )
    )
    links: list[int] = []
    try:
        for name in way.tracepoints:
            links.append(attach_raw_tracepoint(loaded.programs[name], None if way.typed else name))  # noqa: PERF401 - those that are attached must be let go when one is refused
        return L7Probe(loaded, links, ring_bytes=ring_bytes)
    except KernelError:
        loaded.close()
        for link in links:
            os.close(link)
        raise
