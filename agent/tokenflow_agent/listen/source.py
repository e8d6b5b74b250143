"""Accept queues as a source of the agent."""

from collections.abc import Sequence

from tokenflow_agent.backends import Candidate, Chain
from tokenflow_agent.identity import Origin, Pods
from tokenflow_agent.kernel.bpf import ProgramType
from tokenflow_agent.listen.proc import open_proc
from tokenflow_agent.listen.programs import open_programs
from tokenflow_agent.listen.reading import ListenReader, Reading
from tokenflow_agent.listen.sock_diag import open_sock_diag
from tokenflow_agent.listen.windows import table
from tokenflow_agent.sources import Findings, Window
from tokenflow_api.telemetry import Signal
from tokenflow_api.telemetry_agent import Backend, Probe, TelemetryAgentSpec


class ListenSource:
    """Reads how full accept queues are.

    Args:
        pods: names the pods.
    """

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._asked = False
        networks = pods.networks
        self._chain = Chain[ListenReader](
            "accept queues",
            [
                Candidate(Backend.BTF_TRACEPOINT, lambda: open_programs(ProgramType.TRACING, networks)),
                Candidate(Backend.BCC_TRACEPOINT, lambda: open_programs(ProgramType.RAW_TRACEPOINT, networks)),
                Candidate(Backend.KPROBE, lambda: open_programs(ProgramType.KPROBE, networks)),
                Candidate(Backend.SOCK_DIAG, lambda: open_sock_diag(networks)),
                Candidate(Backend.PROC, lambda: open_proc(networks)),
            ],
        )

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be attached where the signal is asked for."""
        self._asked = Probe.LISTEN_BACKLOG in spec.ebpf.probes
        if self._asked:
            await self._chain.ensure(spec.ebpf.backend)
        else:
            self._chain.close()

    async def collect(self, window: Window) -> Findings:
        """Return the accept queues of the window."""
        harvest = await self._chain.read(lambda reader: reader.harvest())
        if harvest is None:
            return Findings()
        readings = harvest.readings
        pods = await self._pods.find({_origin(reading) for reading in readings})
        of_pods = [(pod, reading) for reading in readings if (pod := pods.get(_origin(reading)))]
        return Findings(
            listen=table(of_pods, start_unix_ms=window.start_unix_ms),
            events=harvest.events,
            lost=harvest.lost,
            map_usage_percent=harvest.map_usage_percent,
            bpf_ns=harvest.bpf_ns,
        )

    def signals(self) -> Sequence[Signal]:
        """Return how the signal is read, where it is asked for."""
        return [self._chain.signal(Probe.LISTEN_BACKLOG)] if self._asked else []

    @property
    def restarts(self) -> int:
        """How often a backend that had failed was tried again."""
        return self._chain.restarts

    async def close(self) -> None:
        """Detach."""
        self._chain.close()


def _origin(reading: Reading) -> Origin:
    return Origin(cgroup=reading.cgroup, network=reading.network)
