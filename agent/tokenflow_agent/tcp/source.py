"""TCP health as a source of the agent."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tokenflow_agent.backends import Candidate, Chain
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.identity import Origin, Pods
from tokenflow_agent.sources import Findings, Window
from tokenflow_agent.tcp.hooks import PROBES, Way
from tokenflow_agent.tcp.minimum import SlidingMinimum
from tokenflow_agent.tcp.proc import open_proc
from tokenflow_agent.tcp.programs import open_programs
from tokenflow_agent.tcp.reading import TcpReader
from tokenflow_agent.tcp.sock_diag import open_sock_diag
from tokenflow_agent.tcp.windows import RowKey, rows, table
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import Backend, Ebpf, Probe, TelemetryAgentSpec

_PATH_MINIMUM_S: Final = 10.0


class TcpSource:
    """Reads round-trip times, retransmits and the queues of connections.

    Args:
        pods: names the pods.
        clock: monotonic, in seconds.
    """

    def __init__(self, pods: Pods, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pods = pods
        self._clock = clock
        self._ebpf = Ebpf()
        self._asked: tuple[Probe, ...] = ()
        self._paths = SlidingMinimum[RowKey](span_s=_PATH_MINIMUM_S)
        self._chain = Chain[TcpReader](
            "TCP",
            [
                Candidate(Backend.BTF_TRACEPOINT, lambda: open_programs(Way.TYPED, self._ebpf)),
                Candidate(Backend.BCC_TRACEPOINT, lambda: open_programs(Way.RAW, self._ebpf)),
                Candidate(Backend.KPROBE, lambda: open_programs(Way.KPROBE, self._ebpf)),
                Candidate(Backend.SOCK_DIAG, lambda: open_sock_diag(pods.networks)),
                Candidate(Backend.PROC, lambda: open_proc(pods.networks)),
            ],
        )

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be attached where one of its signals is asked for, in the best way that this node allows."""
        self._asked = tuple(probe for probe in PROBES if probe in spec.ebpf.probes)
        if not self._asked:
            self._chain.close()
            return
        self._ebpf = spec.ebpf
        reader = await self._chain.ensure(spec.ebpf.backend)
        if reader is None:
            return
        try:
            reader.follow(spec.ebpf)
        except ProbeError as error:
            self._chain.failed(error)

    async def collect(self, window: Window) -> Findings:
        """Return the connections of the window."""
        harvest = await self._chain.read(lambda reader: reader.harvest())
        if harvest is None:
            return Findings()
        origins = [Origin(cgroup=reading.cgroup, network=reading.network) for reading in harvest.readings]
        pods = await self._pods.find(set(origins))
        named = [
            (pods[where], reading) for where, reading in zip(origins, harvest.readings, strict=True) if where in pods
        ]
        found = rows(named)
        minima = {key: reading.rtt_min_us for key, reading in found.items() if reading.samples}
        self._paths.add(minima, now_s=self._clock())
        in_pods = sum(reading.segments for _, reading in named)
        reported = sum(reading.segments for reading in found.values())
        return Findings(
            tcp=table(found, start_unix_ms=window.start_unix_ms, path_minimum=self._paths.least),
            events=harvest.events,
            lost={**harvest.lost, "RowsFull": in_pods - reported},
            outside=sum(reading.segments for reading in harvest.readings) - in_pods,
            map_usage_percent=harvest.map_usage_percent,
            bpf_ns=harvest.bpf_ns,
        )

    def signals(self) -> Sequence[Signal]:
        """Return how the signals that are asked for are read."""
        return [self._signal(probe) for probe in self._asked]

    @property
    def restarts(self) -> int:
        """How often a backend that had failed was tried again."""
        return self._chain.restarts

    async def close(self) -> None:
        """Detach."""
        self._chain.close()

    def _signal(self, probe: Probe) -> Signal:
        signal = self._chain.signal(probe)
        if probe is not Probe.TCP_ROUND_TRIP_TIME or self._chain.backend is not Backend.PROC:
            return signal
        words = signal.message or "/proc shows no round-trip times: set spec.ebpf.backend: Auto"
        return Signal(name=probe, state=SignalState.DEGRADED, reason=signal.reason or "NotShown", message=words)
