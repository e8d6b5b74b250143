"""TCP health as a source of the agent."""

import asyncio
from collections.abc import Sequence
from typing import Final

from tokenflow_agent.backends import Candidate, Chain
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.identity import Pods
from tokenflow_agent.sources import Findings, Window
from tokenflow_agent.tcp.reading import TcpReader
from tokenflow_agent.tcp.tracepoint import open_tracepoints
from tokenflow_agent.tcp.windows import table
from tokenflow_api.telemetry import Signal
from tokenflow_api.telemetry_agent import Backend, Probe, TelemetryAgentSpec

PROBES: Final = (Probe.TCP_ROUND_TRIP_TIME, Probe.TCP_RETRANSMIT)


class TcpSource:
    """Reads round-trip times and retransmits.

    Args:
        pods: names the pods.
    """

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._asked: tuple[Probe, ...] = ()
        self._chain = Chain[TcpReader](
            "TCP",
            [
                Candidate(Backend.BTF_TRACEPOINT, lambda: open_tracepoints(direct=True)),
                Candidate(Backend.BCC_TRACEPOINT, lambda: open_tracepoints(direct=False)),
            ],
        )

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be attached where one of its signals is asked for."""
        self._asked = tuple(probe for probe in PROBES if probe in spec.ebpf.probes)
        if self._asked:
            await self._chain.ensure(spec.ebpf.backend)
        else:
            self._chain.close()

    async def collect(self, window: Window) -> Findings:
        """Return the connections of the window."""
        reader = self._chain.reader
        if reader is None:
            return Findings()
        try:
            harvest = await reader.harvest()
        except ProbeError as error:
            self._chain.failed(error)
            return Findings()
        readings = harvest.readings
        pods = await asyncio.to_thread(self._pods.resolve, {reading.cgroup for reading in readings})
        rows = table(
            ((pods[reading.cgroup], reading) for reading in readings if reading.cgroup in pods),
            start_unix_ms=window.start_unix_ms,
        )
        in_pods = sum(reading.segments for reading in readings if reading.cgroup in pods)
        return Findings(
            tcp=rows,
            events=harvest.events,
            lost={**harvest.lost, "RowsFull": in_pods - sum(rows.segments)},
            outside=sum(reading.segments for reading in readings) - in_pods,
            map_usage_percent=harvest.map_usage_percent,
            bpf_ns=harvest.bpf_ns,
        )

    def signals(self) -> Sequence[Signal]:
        """Return how the signals that are asked for are read."""
        return [self._chain.signal(probe) for probe in self._asked]

    async def close(self) -> None:
        """Detach."""
        self._chain.close()
