"""The gateway as a whole: its parts, its listeners, and how it leaves."""

import asyncio
import gc
import logging
import math
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.projected_tokens import read_token
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.audit import FLUSH_S, Record
from tokenflow_api.serving.export import Exporter
from tokenflow_api.serving.level import follow_level
from tokenflow_api.serving.tls import Certificates
from tokenflow_api.tasks import Tasks
from tokenflow_client import HintFollower
from tokenflow_gateway import metrics
from tokenflow_gateway.admission.door import Door
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.api.gateway import CLOCK, Gateway
from tokenflow_gateway.api.inside import inside_application
from tokenflow_gateway.api.site import Site
from tokenflow_gateway.configuration import Configuration
from tokenflow_gateway.front.listener import Front
from tokenflow_gateway.front.switch import ALPN
from tokenflow_gateway.identity.administrators import Administrators
from tokenflow_gateway.identity.fetch import published
from tokenflow_gateway.identity.identify import Guard
from tokenflow_gateway.stream.windows import Place
from tokenflow_gateway.telling.figures import SPANS, exported
from tokenflow_gateway.telling.reporter import StreamReporter
from tokenflow_gateway.telling.tellings import Tellings
from tokenflow_gateway.trust import Trust
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.keys import UpstreamKeys

_log = logging.getLogger(__name__)

DRAIN_S: Final = 45.0
"""Time that running requests have to end; the kubelet kills after 60 s."""
_LAST_WORDS_S: Final = 1.0
"""Time that streams have, which did not end, to be told how to go on elsewhere."""
_COMMITS_S: Final = 4.0
"""Time that the last commits have to be delivered."""
_GARBAGE: Final = 50_000
"""Objects made before cycles among them are looked for: a request makes a thousand, and leaves few."""
_SPARED: Final = 2
"""Looks that a generation is spared: connections outlive the first look and end as cycles, some 30 objects each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a gateway is set up.

    Attributes:
        pod_namespace: namespace of this pod.
        pod_name: name of this pod.
        runtime_file: mounted copy of the runtime config.
        hint_url: base URL of the hint service.
        token_file: projected token for the hint service.
        tenants_directory: a directory of API keys per tenant.
        upstreams_directory: a directory with the gateway's own API key per upstream.
        host: address to listen on.
        port: of the API.
        metrics_port: of the metrics.
        hint_tls_directory: a certificate to show at the hint service; ``None`` shows none.
        tls_directory: the certificate to serve with; ``None`` serves plain HTTP.
        log_level: how much is logged; ``None`` is as the config says.
        announce_s: time that a leaving gateway still takes requests, so that load balancers notice.
    """

    pod_namespace: str
    pod_name: str
    runtime_file: Path
    hint_url: str
    token_file: Path
    tenants_directory: Path
    upstreams_directory: Path
    host: str = "0.0.0.0"  # noqa: S104 - it serves the pod's network
    port: int = 8000
    metrics_port: int = 9090
    hint_tls_directory: Path | None = None
    tls_directory: Path | None = None
    log_level: str | None = None
    announce_s: float = 1.0

    def token(self) -> str:
        """Return the present token for the hint service."""
        return read_token(self.token_file)


async def serve(settings: Settings) -> None:
    """Run a gateway until SIGTERM or SIGINT, then let its streams end.

    Raises:
        CertificateError: the TLS directory holds no certificate.
        OSError: a port is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc.freeze()
    gc.set_threshold(_GARBAGE, _SPARED, _SPARED)
    await Server(settings).run(stop)


class Server:
    """A gateway.

    Args:
        settings: how it is set up.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks = Tasks()
        self._configuration = configuration = Configuration(settings.runtime_file)
        configuration.read()
        if settings.log_level is None:
            configuration.on_change(follow_level)
        self._trust = Trust(configuration, settings.hint_tls_directory)
        self._follower = HintFollower(
            settings.hint_url,
            token=settings.token,
            on_config=lambda config: configuration.offer(config, source="hint service"),
            tls=self._trust,
        )
        self._site = Site(configuration, self._follower)
        self._certificates = (
            Certificates(settings.tls_directory, figures=metrics.SERVING, protocols=ALPN)
            if settings.tls_directory
            else None
        )
        self._front = Front(self._site, host=settings.host, port=settings.port, tls=self._certificates)

    @property
    def port(self) -> int:
        """The port of the API, once it is open."""
        return self._front.port

    @property
    def gateway(self) -> Gateway | None:
        """What serves readers, once there is a config."""
        return self._site.gateway

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, and then drain."""
        settings, configuration = self._settings, self._configuration
        exporter = Exporter(
            SPANS,
            collect=exported,
            figures=metrics.SERVING,
            service="tokenflow-gateway",
            name=settings.pod_name,
        )
        configuration.on_change(exporter.follow)
        metrics.HINT_AGE.set_function(lambda: self._follower.age_s if self._follower.age_s is not None else math.nan)
        administrators = Administrators(settings.hint_url, tls=self._trust)
        async with (
            self._tasks.beside(
                configuration.reread(),
                self._follower.run(),
                exporter.run(),
                self._trust.run(),
                *([self._certificates.run()] if self._certificates else []),
            ),
            self._open_front(),
            _listening(inside_application(lambda: self.gateway, administrators), settings),
        ):
            _log.info("listening", extra={"port": self._front.port})
            await self._tasks.until(stop, configuration.arrived)
            if configuration.current is not None and not stop.is_set():
                await self._serve_policy(configuration.current, stop)

    @asynccontextmanager
    async def _open_front(self) -> AsyncIterator[None]:
        """Listen to readers within the block."""
        await self._front.start()
        try:
            yield
        finally:
            await self._front.close()

    async def _serve_policy(self, config: RuntimeConfig, stop: asyncio.Event) -> None:
        settings, tasks = self._settings, self._tasks
        quota = QuotaClient(settings.hint_url, token=settings.token, tls=self._trust)
        audit = Record(replica=settings.pod_name, figures=metrics.SERVING)
        async with UpstreamClient(UpstreamKeys(settings.upstreams_directory)) as client:
            gateway = Gateway(
                config,
                follower=self._follower,
                guard=Guard(ring=KeyRing(settings.tenants_directory), published=published),
                door=Door(quota, config=config),
                client=client,
                tellings=Tellings(config),
                audit=audit,
            )
            self._configuration.on_change(gateway.configure)
            place = Place(pod_namespace=settings.pod_namespace, pod_name=settings.pod_name, service_port=self.port)
            reporter = StreamReporter(
                url=settings.hint_url.rstrip("/"),
                node=settings.pod_name,
                token=settings.token,
                observe=lambda start_unix_ms: gateway.streams.windows(start_unix_ms, place=place),
                tls=self._trust,
            )
            try:
                async with tasks.beside(gateway.door.run(), gateway.fleet.run(), reporter.run(), _audit(audit)):
                    self._site.gateway = gateway
                    _log.info("serving", extra={"generation": config.generation})
                    await tasks.until(stop)
                    await _drain(gateway, self._front, announce_s=settings.announce_s)
            finally:
                quota.close()
                audit.flush()


async def _drain(gateway: Gateway, front: Front, *, announce_s: float) -> None:
    gateway.draining = True
    _log.info("draining", extra={"requests": front.in_flight})
    await asyncio.sleep(announce_s)
    gateway.streams.drain(CLOCK() + DRAIN_S)
    broken_off = await front.drain(DRAIN_S + _LAST_WORDS_S)
    unsent = await gateway.door.drain(within_s=_COMMITS_S)
    if broken_off or unsent:
        _log.warning("not all was ended", extra={"requests": broken_off, "commits": unsent})


async def _audit(audit: Record) -> None:
    """Write down who was denied what, for ever."""
    while True:
        await asyncio.sleep(FLUSH_S)
        audit.flush()


@asynccontextmanager
async def _listening(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """Serve those inside the cluster within the block."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.metrics_port).start()
        yield
    finally:
        await runner.cleanup()
