"""The agent as a whole: a window after the other, to every hint service that wants them."""

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tokenflow_agent import memory
from tokenflow_agent.cost import CostMeter
from tokenflow_agent.delivery.fanout import Deliveries
from tokenflow_agent.delivery.sender import Context
from tokenflow_agent.delivery.state import DeliveryState
from tokenflow_agent.errors import AgentError
from tokenflow_agent.export.figures import Figures
from tokenflow_agent.export.history import History
from tokenflow_agent.export.model import Family
from tokenflow_agent.export.pages import Shown, pages
from tokenflow_agent.export.push import Pusher
from tokenflow_agent.export.series import Node, Pod
from tokenflow_agent.export.server import Server
from tokenflow_agent.gpu.session import Session
from tokenflow_agent.gpu.source import GpuSource
from tokenflow_agent.identity import Pods
from tokenflow_agent.identity.names import named_pods
from tokenflow_agent.identity.source import PodNameSource
from tokenflow_agent.l7.source import L7Source
from tokenflow_agent.listen.source import ListenSource
from tokenflow_agent.settings import Configuration
from tokenflow_agent.sources import Findings, Source, Window
from tokenflow_agent.supervision import Supervised
from tokenflow_agent.tcp.source import TcpSource
from tokenflow_agent.windows import Windows
from tokenflow_api.clock import Clock
from tokenflow_api.codec import encode
from tokenflow_api.projected_tokens import read_token
from tokenflow_api.quantities import amount, seconds
from tokenflow_api.telemetry import BatchReply, Reporter, Signal, SignalState, TelemetryBatch
from tokenflow_api.windows import (
    GpuProcesses,
    GpuSamples,
    HttpWindows,
    ListenWindows,
    SqlWindows,
    StreamWindows,
    TcpWindows,
)

_log = logging.getLogger(__name__)

FLUSH_S: Final = 5.0
WARM_UP: Final = 3
"""Windows after which all code that runs again and again has run."""
SPOOL: Final = "Spool"

# Made once: pydantic would copy some hundred empty columns for every window.
_NO_STREAMS: Final = StreamWindows()
_EMPTY: Final = {
    "tcp": TcpWindows(),
    "listen": ListenWindows(),
    "http": HttpWindows(),
    "sql": SqlWindows(),
    "gpu": GpuSamples(),
    "gpu_processes": GpuProcesses(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How the agent is set up.

    Attributes:
        node: name of the node.
        config_file: mounted AgentConfig.
        token_file: projected token for the hint services.
        cgroup_root: the host's /sys/fs/cgroup.
        pod_logs: the host's /var/log/pods.
        spool_dir: where windows wait on the disk.
        client_tls_directory: a directory per policy of the certificate to show at https.
        log_level: how much is logged; ``None`` is as the config says.
        host: address to listen on.
        port: of metrics and probes.
    """

    node: str
    config_file: Path
    token_file: Path
    cgroup_root: Path
    pod_logs: Path
    spool_dir: Path = Path("/var/lib/tokenflow/spool")
    client_tls_directory: Path | None = None
    log_level: str | None = None
    host: str = "0.0.0.0"  # noqa: S104 - it serves the pod's network
    port: int = 9435


def sources(settings: Settings) -> list[Callable[[], Source]]:
    """Return what makes all that the agent can read."""
    pods = Pods(cgroup_root=settings.cgroup_root, log_root=settings.pod_logs)
    return [
        lambda: TcpSource(pods),
        lambda: ListenSource(pods),
        lambda: L7Source(pods),
        lambda: GpuSource(Session(pods)),
        lambda: PodNameSource(pods),
    ]


class Agent:
    """Measures one node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configuration = Configuration(settings.config_file)
        self._sources = [Supervised(make) for make in sources(settings)]
        self._figures = Figures(Node(living=self._living))
        self._history = History()
        self._clock = Clock()
        self._cost = CostMeter()
        self._windows = Windows()
        self._deliveries: Deliveries | None = None
        self._pusher = Pusher(self._families, resource=_resource(settings.node))
        self._boot_id = uuid.uuid4().hex
        self._sequence = 0
        self._beat = time.monotonic()

    async def run(self) -> None:
        """Measure until SIGTERM or SIGINT, then deliver what there is.

        Raises:
            AgentError: its port is not free.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        shown = Shown(
            signals=self._signals,
            delivery=self._delivery,
            families=self._families,
            history=self._history,
            beat=lambda: self._beat,
        )
        server = Server(pages(shown))
        try:
            await server.start(host=self._settings.host, port=self._settings.port)
        except OSError as error:
            words = f"port {self._settings.port} cannot be served ({error.strerror}): name a free one by --port"
            raise AgentError(words) from error
        try:
            async with asyncio.TaskGroup() as tasks:
                self._deliveries = Deliveries(self._settings.spool_dir, context=self._context(), tasks=tasks)
                pushing = tasks.create_task(self._pusher.run())
                await self._measure(self._deliveries, stop)
                pushing.cancel()
                await self._deliveries.close(timeout_s=FLUSH_S)
        finally:
            await server.close()
            for source in self._sources:
                await source.close()

    async def _measure(self, deliveries: Deliveries, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._beat = time.monotonic()
            await self._follow(deliveries)
            self._beat = time.monotonic()
            interval_s = seconds(self._configuration.current.spec.interval)
            try:
                async with asyncio.timeout(self._windows.left_s(interval_s)):
                    await stop.wait()
            except TimeoutError:
                _log.debug("window over")
            await self._publish(self._windows.close(interval_s), deliveries)
            if self._sequence == WARM_UP:
                memory.give_back()

    async def _follow(self, deliveries: Deliveries) -> None:
        """Be as the config in force asks."""
        self._configuration.reread()
        config = self._configuration.current
        observability = config.spec.observability
        logging.getLogger().setLevel((self._settings.log_level or observability.log_level).upper())
        self._pusher.follow(observability.otlp_endpoint)
        await deliveries.follow(config.ingest, most_bytes=int(amount(config.spec.spool.max_size)))
        await asyncio.gather(*(source.follow(config.spec) for source in self._sources))

    async def _publish(self, window: Window, deliveries: Deliveries) -> None:
        # All that a window takes is let go of at the end, before the next one's rows are made.
        found = await asyncio.gather(*(source.collect(window) for source in self._sources))
        batch = self._batch(window, found)
        document = encode(batch)
        self._history.add(batch.sequence, document)
        gpu_interval_s = seconds(self._configuration.current.spec.gpu.interval)
        self._figures.show(batch, found, gpu_interval_s=gpu_interval_s)
        await deliveries.add(document, at_unix_ms=batch.sent_at_unix_ms)

    def _batch(self, window: Window, found: Sequence[Findings]) -> TelemetryBatch:
        self._sequence += 1
        config = self._configuration.current
        clock = self._clock.reading()
        return TelemetryBatch(
            reporter=Reporter.AGENT,
            agent=f"{config.namespace}/{config.name}",
            node=self._settings.node,
            boot_id=self._boot_id,
            sequence=self._sequence,
            sent_at_unix_ms=time.time_ns() // 1_000_000,
            window_ms=window.length_ms,
            clock_offset_ms=clock.offset_ms,
            clock_error_ms=clock.error_ms,
            streams=_NO_STREAMS,
            signals=self._signals(),
            cost=self._cost.take(found, self._delivery()),
            **_tables(found),
        )

    def _context(self) -> Context:
        return Context(
            token=lambda: read_token(self._settings.token_file),
            on_reply=self._take_reply,
            clock=self._clock,
            client_tls=self._settings.client_tls_directory,
        )

    def _delivery(self) -> DeliveryState:
        return self._deliveries.state if self._deliveries else DeliveryState()

    def _families(self) -> Iterator[Family]:
        yield from self._figures.families()
        yield from self._figures.own.families(
            signals=self._signals(),
            delivery=self._delivery(),
            failures={source.name: source.failures for source in self._sources},
            restarts={source.name: source.restarts for source in self._sources},
        )
        yield from self._pusher.families()

    def _living(self) -> set[Pod]:
        try:
            return {(pod.namespace, pod.name) for pod in named_pods(self._settings.pod_logs).values()}
        except OSError as error:
            _log.warning("the node's pods cannot be listed", extra={"reason": str(error)})
            return set()

    def _signals(self) -> list[Signal]:
        signals = [signal for source in self._sources for signal in source.signals()]
        spool = self._delivery().spool
        if spool.reason:
            signals.append(Signal(name=SPOOL, state=SignalState.DEGRADED, reason=spool.reason, message=spool.message))
        return signals

    def _take_reply(self, reply: BatchReply) -> None:
        if reply.config is not None:
            self._configuration.offer(reply.config, source="hint service")


def _tables(found: Sequence[Findings]) -> dict[str, Any]:
    """Return each table as its source found it, or empty."""
    return {
        name: next((table for each in found if (table := getattr(each, name)) is not None), empty)
        for name, empty in _EMPTY.items()
    }


def _resource(node: str) -> dict[str, str]:
    return {
        "service.name": "tokenflow-agent",
        "service.version": version("tokenflow-operator"),
        "service.instance.id": node,
        "k8s.node.name": node,
    }
