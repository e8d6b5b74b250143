"""HTTP, TLS and SQL as a source of the agent."""

import logging
from collections.abc import Container, Sequence
from typing import Final

from tokenflow_agent.backends import Candidate, Chain
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.identity import Origin, Pod, Pods
from tokenflow_agent.l7.hooks import Way
from tokenflow_agent.l7.probe import open_probe
from tokenflow_agent.l7.reader import L7Reader
from tokenflow_agent.l7.tables import http_table, sql_table
from tokenflow_agent.l7.tally import Place, Tallies, Traced
from tokenflow_agent.sources import Exemplar, Findings, Window
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import Backend, Probe, TelemetryAgentSpec

_log = logging.getLogger(__name__)

_PASSING: Final = frozenset({"CompileTimeout", "CompilerFailed"})
"""Reasons that say nothing about the kernel."""
PROBES: Final = (Probe.HTTP_LATENCY, Probe.TLS_LATENCY, Probe.SQL_LATENCY)


class L7Source:
    """Reads requests and statements.

    Args:
        pods: names the pods.
    """

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._asked: tuple[Probe, ...] = ()
        self._chain = Chain[L7Reader](
            "HTTP and SQL",
            [
                Candidate(Backend.BTF_TRACEPOINT, self._open_typed),
                Candidate(Backend.BCC_TRACEPOINT, lambda: self._open(Way.RAW)),
            ],
        )

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be attached where one of its signals is asked for."""
        self._asked = tuple(probe for probe in PROBES if probe in spec.ebpf.probes)
        if not self._asked:
            self._chain.close()
            return
        reader = await self._chain.ensure(spec.ebpf.backend)
        if reader is not None:
            try:
                reader.follow(self._asked, spec.http)
            except ProbeError as error:
                self._chain.failed(error)

    async def collect(self, window: Window) -> Findings:
        """Return the requests and statements that ended in the window."""
        harvest = await self._chain.read(lambda reader: reader.harvest())
        if harvest is None:
            return Findings()
        tallies, counts = harvest.tallies, harvest.counts
        pods = await self._owners(tallies)
        ended = _count(tallies, tallies.places)
        named = _count(tallies, pods)
        http = http_table(tallies.http, pods, start_unix_ms=window.start_unix_ms)
        sql = sql_table(tallies.sql, pods, start_unix_ms=window.start_unix_ms)
        return Findings(
            http=http,
            sql=sql,
            exemplars=[
                _exemplar(traced, pods[traced.key.place]) for traced in tallies.traced if traced.key.place in pods
            ],
            events=counts.events,
            lost={**counts.lost, **tallies.lost, "RowsFull": named - sum(http.requests) - sum(sql.statements)},
            outside=ended - named,
            map_usage_percent=counts.map_usage_percent,
            bpf_ns=counts.bpf_ns,
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
        reader = self._chain.reader
        problem = reader.tls_problem if reader and probe is Probe.TLS_LATENCY else None
        if problem is None:
            return self._chain.signal(probe)
        return Signal(
            name=probe,
            backend=self._chain.backend or "",
            state=SignalState.DEGRADED,
            reason=problem.reason,
            message=problem.message,
        )

    async def _open_typed(self) -> L7Reader:
        try:
            return await self._open(Way.SOCKETS)
        except ProbeError as error:
            if error.reason in _PASSING:
                raise
            _log.info("all system calls are watched", extra={"reason": error.reason, "detail": error.message})
            return await self._open(Way.CALLS)

    async def _open(self, way: Way) -> L7Reader:
        return L7Reader(await open_probe(way))

    async def _owners(self, tallies: Tallies) -> dict[Place, Pod]:
        origins = {place: Origin(cgroup=place.cgroup, network=place.network) for place in tallies.places}
        owners = await self._pods.find(set(origins.values()))
        return {place: owners[origin] for place, origin in origins.items() if origin in owners}


def _count(tallies: Tallies, places: Container[Place]) -> int:
    """Return how many requests and statements were seen in some places."""
    requests = sum(row.requests for key, row in tallies.http.items() if key.place in places)
    return requests + sum(row.statements for key, row in tallies.sql.items() if key.place in places)


def _exemplar(traced: Traced, pod: Pod) -> Exemplar:
    return Exemplar(
        namespace=pod.namespace,
        pod=pod.name,
        port=traced.key.place.port,
        route=traced.key.route,
        trace_id=traced.trace_id,
        latency_us=traced.latency_us,
    )
