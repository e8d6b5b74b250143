"""The agent as a whole: a window after the other, to every hint service that wants them."""

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from tokenflow_agent.delivery.fanout import Deliveries
from tokenflow_agent.export.figures import Figures
from tokenflow_agent.export.server import application
from tokenflow_agent.gpu.session import Session
from tokenflow_agent.gpu.source import GpuSource
from tokenflow_agent.identity import Pods
from tokenflow_agent.identity.source import PodNameSource
from tokenflow_agent.listen.source import ListenSource
from tokenflow_agent.settings import Configuration
from tokenflow_agent.sources import Findings, Source, Window
from tokenflow_agent.tcp.source import TcpSource
from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry import BatchReply, Reporter, Signal, TelemetryBatch
from tokenflow_api.windows import GpuProcesses, GpuSamples, HttpWindows, ListenWindows, SqlWindows, TcpWindows

_log = logging.getLogger(__name__)

FLUSH_S: Final = 5.0

TableT = TypeVar("TableT")


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


def sources(settings: Settings) -> list[Source]:
    """Return all that the agent can read."""
    pods = Pods(cgroup_root=settings.cgroup_root, log_root=settings.pod_logs)
    return [TcpSource(pods), ListenSource(pods), GpuSource(Session(pods)), PodNameSource(pods)]


class Agent:
    """Measures one node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configuration = Configuration(settings.config_file)
        self._sources = sources(settings)
        self._figures = Figures()
        self._boot_id = uuid.uuid4().hex
        self._sequence = 0
        self._beat = time.monotonic()

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
                deliveries = Deliveries(token_file=self._settings.token_file, on_reply=self._take_reply, tasks=tasks)
                await self._measure(deliveries, stop)
                await deliveries.flush(timeout_s=FLUSH_S)
        finally:
            await runner.cleanup()
            for source in self._sources:
                await source.close()

    async def _measure(self, deliveries: Deliveries, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            self._beat = time.monotonic()
            self._configuration.reread()
            config = self._configuration.current
            deliveries.follow(config.ingest)
            for source in self._sources:
                await source.follow(config.spec)
            interval = seconds(config.spec.interval)
            due = max(due + interval, time.monotonic())
            started = time.time_ns() // 1_000_000
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stop.wait()
            except TimeoutError:
                _log.debug("window over")
            window = Window(start_unix_ms=started, length_ms=round(interval * 1000))
            found = [await source.collect(window) for source in self._sources]
            batch = self._batch(window, found)
            self._figures.show(batch, found)
            deliveries.add(batch)
            self._beat = time.monotonic()

    def _batch(self, window: Window, found: Sequence[Findings]) -> TelemetryBatch:
        self._sequence += 1
        config = self._configuration.current
        return TelemetryBatch(
            reporter=Reporter.AGENT,
            agent=f"{config.namespace}/{config.name}",
            node=self._settings.node,
            boot_id=self._boot_id,
            sequence=self._sequence,
            sent_at_unix_ms=time.time_ns() // 1_000_000,
            window_ms=window.length_ms,
            tcp=_table((each.tcp for each in found), TcpWindows()),
            listen=_table((each.listen for each in found), ListenWindows()),
            http=_table((each.http for each in found), HttpWindows()),
            sql=_table((each.sql for each in found), SqlWindows()),
            gpu=_table((each.gpu for each in found), GpuSamples()),
            gpu_processes=_table((each.gpu_processes for each in found), GpuProcesses()),
            signals=self._signals(),
        )

    def _signals(self) -> list[Signal]:
        return [signal for source in self._sources for signal in source.signals()]

    def _take_reply(self, reply: BatchReply) -> None:
        if reply.config is not None:
            self._configuration.offer(reply.config, source="hint service")


def _table(found: Iterable[TableT | None], empty: TableT) -> TableT:
    return next((table for table in found if table is not None), empty)
