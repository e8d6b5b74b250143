"""The agent as a whole: a window after the other, to every hint service that wants them."""

import asyncio
import logging
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from tokenflow_agent import gpu, metrics
from tokenflow_agent.delivery import Delivery
from tokenflow_agent.ebpf import probe
from tokenflow_agent.ebpf.probe import Harvest, TcpProbe
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.exporter import application
from tokenflow_agent.identity import Pods
from tokenflow_agent.settings import Configuration
from tokenflow_agent.windows import Reading, table
from tokenflow_api.projected_tokens import read_token
from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry import (
    OTHER_CLASS,
    BatchReply,
    GpuSamples,
    Reporter,
    Signal,
    SignalState,
    TcpWindows,
    TelemetryBatch,
)
from tokenflow_api.telemetry_agent import Probe

_log = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""Pause before a probe that could not be attached is tried again."""
FLUSH_S: Final = 5.0
_TRACEPOINTS: Final = {Probe.TCP_ROUND_TRIP_TIME: "tcp_probe", Probe.TCP_RETRANSMIT: "tcp_retransmit_skb"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How the agent is set up.

    Attributes:
        node: name of the node.
        config_file: mounted AgentConfig.
        token_file: projected token for the hint services.
        cgroup_root: the host's /sys/fs/cgroup.
        pod_logs: the host's /var/log/pods.
        host: address to listen on.
        port: of metrics and probes.
    """

    node: str
    config_file: Path
    token_file: Path
    cgroup_root: Path
    pod_logs: Path
    host: str = "0.0.0.0"  # noqa: S104 - it serves the pod's network
    port: int = 9435


class Agent:
    """Measures one node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configuration = Configuration(settings.config_file)
        self._pods = Pods(cgroup_root=settings.cgroup_root, log_root=settings.pod_logs)
        self._deliveries: dict[str, tuple[Delivery, asyncio.Task[None]]] = {}
        self._boot_id = uuid.uuid4().hex
        self._sequence = 0
        self._probe: TcpProbe | None = None
        self._attached: frozenset[str] = frozenset()
        self._failure: ProbeError | None = None
        self._retry_at = 0.0
        self._gpu = gpu.GpuReading(GpuSamples(), Signal(name=gpu.NAME, state=SignalState.OFF))
        self._gpu_due = 0.0
        self._beat = time.monotonic()
        self._series: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Measure until SIGTERM or SIGINT, then deliver what there is."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        runner = web.AppRunner(application(signals=self._signals, beat=lambda: self._beat), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, self._settings.host, self._settings.port).start()
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._measure(tasks, stop)
                deliveries = list(self._deliveries.values())
                await asyncio.gather(*(delivery.flush(timeout_s=FLUSH_S) for delivery, _ in deliveries))
                for _, task in deliveries:
                    task.cancel()
        finally:
            await runner.cleanup()
            self._detach()

    async def _measure(self, tasks: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            self._beat = time.monotonic()
            self._configuration.reread()
            self._follow_addresses(tasks)
            await self._follow_probes()
            interval = seconds(self._configuration.current.spec.interval)
            due = max(due + interval, time.monotonic())
            started = time.time_ns() // 1_000_000
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stop.wait()
            except TimeoutError:
                _log.debug("window over")
            batch = await self._batch(start_unix_ms=started, window_ms=round(interval * 1000))
            for delivery, _ in self._deliveries.values():
                delivery.add(batch)
            self._beat = time.monotonic()

    async def _batch(self, *, start_unix_ms: int, window_ms: int) -> TelemetryBatch:
        rows = await self._tcp(start_unix_ms)
        self._read_gpus()
        self._sequence += 1
        config = self._configuration.current
        return TelemetryBatch(
            reporter=Reporter.AGENT,
            agent=f"{config.namespace}/{config.name}",
            node=self._settings.node,
            boot_id=self._boot_id,
            sequence=self._sequence,
            sent_at_unix_ms=time.time_ns() // 1_000_000,
            window_ms=window_ms,
            tcp=rows,
            gpu=self._gpu.samples,
            signals=self._signals(),
        )

    async def _tcp(self, start_unix_ms: int) -> TcpWindows:
        if self._probe is None:
            return TcpWindows()
        try:
            harvest = await self._probe.harvest()
        except ProbeError as error:
            self._detach()
            self._failed(error)
            return TcpWindows()
        pods = await asyncio.to_thread(self._pods.resolve, {reading.cgroup for reading in harvest.readings})
        rows = table(
            ((pods[reading.cgroup], reading) for reading in harvest.readings if reading.cgroup in pods),
            start_unix_ms=start_unix_ms,
        )
        self._export(harvest, [reading for reading in harvest.readings if reading.cgroup not in pods], rows)
        return rows

    def _export(self, harvest: Harvest, outside: list[Reading], rows: TcpWindows) -> None:
        metrics.EVENTS.inc(harvest.events)
        metrics.EVENTS_LOST.labels("MapFull").inc(harvest.lost)
        in_pods = sum(reading.segments for reading in harvest.readings) - sum(reading.segments for reading in outside)
        metrics.EVENTS_LOST.labels("RowsFull").inc(max(0, in_pods - sum(rows.segments)))
        metrics.MAP_USAGE.set(harvest.map_usage_percent)
        metrics.UNKNOWN_SEGMENTS.inc(sum(reading.segments for reading in outside))
        seen: dict[tuple[str, str, str], tuple[int, int]] = {}
        for row in range(len(rows)):
            labels = (rows.pod_namespace[row], rows.pod_name[row], str(rows.service_port[row]))
            if labels not in self._series and len(self._series) >= metrics.MAX_SERIES:
                labels = (OTHER_CLASS, OTHER_CLASS, OTHER_CLASS)
            self._series.add(labels)
            metrics.RETRANSMITS.labels(*labels).inc(rows.retransmits[row])
            total, segments = seen.get(labels, (0, 0))
            seen[labels] = (total + rows.rtt_sum_us[row], segments + rows.segments[row])
        for labels, (total, segments) in seen.items():
            if segments:
                metrics.RTT.labels(*labels).set(total / segments)

    def _follow_addresses(self, tasks: asyncio.TaskGroup) -> None:
        """Deliver to the addresses of the config in force, and to no others."""
        wanted = {address.url: address.policy for address in self._configuration.current.ingest}
        for url in self._deliveries.keys() - wanted.keys():
            _, task = self._deliveries.pop(url)
            task.cancel()
        for url in wanted.keys() - self._deliveries.keys():
            delivery = Delivery(
                policy=wanted[url],
                url=url,
                token=lambda: read_token(self._settings.token_file),
                on_reply=self._take_reply,
            )
            self._deliveries[url] = (delivery, tasks.create_task(delivery.run()))

    def _take_reply(self, reply: BatchReply) -> None:
        if reply.config is not None:
            self._configuration.offer(reply.config, source="hint service")

    async def _follow_probes(self) -> None:
        """Have the tracepoints of the config in force attached, and no others."""
        asked = self._configuration.current.spec.ebpf.probes
        wanted = frozenset(_TRACEPOINTS[name] for name in asked if name in _TRACEPOINTS)
        if self._probe is not None and wanted != self._attached:
            self._detach()
        if self._probe is None and wanted and time.monotonic() >= self._retry_at:
            try:
                self._probe = await probe.attach(sorted(wanted))
            except ProbeError as error:
                self._failed(error)
            else:
                self._attached, self._failure = wanted, None
                _log.info("attached", extra={"tracepoints": sorted(wanted), "backend": probe.BACKEND})

    def _failed(self, error: ProbeError) -> None:
        self._failure = error
        self._retry_at = time.monotonic() + RETRY_S
        _log.error("TCP cannot be read", extra={"reason": error.reason, "detail": error.message, "retry_s": RETRY_S})

    def _detach(self) -> None:
        if self._probe is not None:
            self._probe.close()
        self._probe, self._attached = None, frozenset()

    def _read_gpus(self) -> None:
        spec = self._configuration.current.spec.gpu
        if time.monotonic() < self._gpu_due:
            self._gpu = gpu.GpuReading(GpuSamples(), self._gpu.signal)
            return
        self._gpu_due = time.monotonic() + seconds(spec.interval)
        self._gpu = gpu.read(spec.mode)
        samples = self._gpu.samples
        for row in range(len(samples)):
            metrics.GPU_UTILIZATION.labels(samples.uuid[row]).set(samples.utilization_percent[row])
            metrics.GPU_MEMORY.labels(samples.uuid[row]).set(samples.memory_used_bytes[row])
            metrics.GPU_TEMPERATURE.labels(samples.uuid[row]).set(samples.temperature_celsius[row])
            metrics.GPU_POWER.labels(samples.uuid[row]).set(samples.power_milliwatts[row] / 1000)

    def _signals(self) -> list[Signal]:
        signals = [self._signal(name) for name in self._configuration.current.spec.ebpf.probes]
        # A signal that changed its backend or reason is another series: the old one must go.
        metrics.SIGNAL_ACTIVE.clear()
        for one in (*signals, self._gpu.signal):
            active = 1 if one.state is SignalState.ACTIVE else 0
            metrics.SIGNAL_ACTIVE.labels(one.name, one.backend, one.reason).set(active)
        return [*signals, self._gpu.signal]

    def _signal(self, name: Probe) -> Signal:
        if name not in _TRACEPOINTS:
            return Signal(
                name=name,
                state=SignalState.OFF,
                reason="NotImplemented",
                message=f"{name} is not read by this version: remove it from spec.ebpf.probes",
            )
        if self._failure is not None:
            return Signal(
                name=name, state=SignalState.DEGRADED, reason=self._failure.reason, message=self._failure.message[:1024]
            )
        if _TRACEPOINTS[name] not in self._attached:
            return Signal(name=name, state=SignalState.DEGRADED, reason="Starting", message="not attached yet")
        return Signal(name=name, backend=probe.BACKEND, state=SignalState.ACTIVE)
