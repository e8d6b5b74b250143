"""A replica as a whole: its tasks, its listeners, and how it leaves."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.credentials import Credentials
from tokenflow_api.serving.export import Exporter
from tokenflow_api.serving.keysets import KeySource
from tokenflow_api.serving.level import follow_level
from tokenflow_api.serving.tls import Certificates
from tokenflow_api.tasks import Tasks
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.application import application, metrics_application
from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.api.waiting import waiting_application
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.fast.listener import FastListener
from tokenflow_hintsvc.guard.access import Guard
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.fetch import published
from tokenflow_hintsvc.ingest.intake import Intake
from tokenflow_hintsvc.leader import Leader
from tokenflow_hintsvc.learn.choice import Choice
from tokenflow_hintsvc.learn.serving import Forecasting
from tokenflow_hintsvc.listeners import Listener
from tokenflow_hintsvc.membership import Membership
from tokenflow_hintsvc.observability import gauges
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.quota.keeper import Keeper
from tokenflow_hintsvc.quota.pressure import Pressure
from tokenflow_hintsvc.quota.reservations import BOOT_BYTES
from tokenflow_hintsvc.quota.usage import UsageBook
from tokenflow_hintsvc.quota.writer import UsageWriter
from tokenflow_hintsvc.rounds import Rounds
from tokenflow_hintsvc.sources.api_server import ApiServer
from tokenflow_hintsvc.sources.follow import ConfigSource, follow
from tokenflow_hintsvc.sources.secrets import SecretsWatch
from tokenflow_hintsvc.store.audit import AuditLog
from tokenflow_hintsvc.store.clock import ServiceClock
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.controls import Controls
from tokenflow_hintsvc.store.explanations import Explanations
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.store.models import Models
from tokenflow_hintsvc.store.quotas import Quotas
from tokenflow_hintsvc.store.replicas import Replicas
from tokenflow_hintsvc.store.snapshots import Snapshots
from tokenflow_hintsvc.store.telemetry import Telemetry
from tokenflow_hintsvc.store.url_file import UrlFile
from tokenflow_hintsvc.store.usage import Usage
from tokenflow_hintsvc.view.answers import HintAnswers
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.feed import Feed

_log = logging.getLogger(__name__)

RECONNECT_S: Final = 0.5
ANNOUNCE_S: Final = 2.0
"""Time that a leaving replica still serves as before, so that load balancers notice."""
_GARBAGE: Final = 50_000
"""Objects made before cycles among them are looked for: a batch of telemetry makes thousands, and leaves none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a replica is set up.

    Attributes:
        name: of this replica, unique in its policy.
        redis_url: where the shared state is.
        redis_url_file: holds the URL instead, and may be changed meanwhile.
        tenants_directory: a directory of API keys per tenant.
        tls_directory: the certificate to serve with; ``None`` serves plain HTTP.
        host: address to listen on.
        port: of the API.
        fast_port: of the listener for hint reads and the stream alone; 0 is none.
        metrics_port: of the metrics.
        log_level: how much is logged; ``None`` is as the config says.
    """

    name: str
    redis_url: str
    redis_url_file: Path | None = None
    tenants_directory: Path
    tls_directory: Path | None = None
    host: str = "0.0.0.0"  # noqa: S104 - it serves the pod's network
    port: int = 8080
    fast_port: int = 0
    metrics_port: int = 9090
    log_level: str | None = None


async def serve(
    settings: Settings, *, sources: Sequence[ConfigSource], keys: KeySource, api_server: ApiServer | None
) -> None:
    """Run a replica until SIGTERM or SIGINT, then drain.

    Args:
        settings: how it is set up.
        sources: of the runtime config.
        keys: of the issuer of service-account tokens.
        api_server: to watch the tenants' Secrets at; ``None`` reads their mounts alone.

    Raises:
        RedisUrlError: the Redis URL is none.
        CertificateError: the TLS directory holds no certificate.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks, configuration = Tasks(), Configuration()
    certificates = Certificates(settings.tls_directory, figures=metrics.SERVING) if settings.tls_directory else None
    exporter = Exporter(
        SPANS,
        collect=metrics.REGISTRY.collect,
        figures=metrics.SERVING,
        service="tokenflow-hintsvc",
        name=settings.name,
    )
    configuration.on_change(exporter.follow)
    if settings.log_level is None:
        configuration.on_change(follow_level)
    async with (
        _listening(metrics_application(), settings.host, settings.metrics_port),
        tasks.beside(
            exporter.run(),
            *([certificates.run()] if certificates else []),
            *(follow(configuration, source) for source in sources),
        ),
    ):
        async with _listening(waiting_application(configuration), settings.host, settings.port, certificates):
            await tasks.until(stop, configuration.arrived)
        if configuration.current is not None and not stop.is_set():
            await _serve_policy(
                settings,
                configuration,
                configuration.current,
                keys=keys,
                api_server=api_server,
                certificates=certificates,
                tasks=tasks,
                stop=stop,
            )


async def _serve_policy(
    settings: Settings,
    configuration: Configuration,
    config: RuntimeConfig,
    *,
    keys: KeySource,
    api_server: ApiServer | None,
    certificates: Certificates | None,
    tasks: Tasks,
    stop: asyncio.Event,
) -> None:
    url_file = UrlFile(settings.redis_url_file) if settings.redis_url_file else None
    connection = Connection(url_file.read() if url_file else settings.redis_url, policy_uid=config.uid)
    leadership = Leadership(connection, holder=settings.name)
    replicas, telemetry = Replicas(connection), Telemetry(connection)
    snapshots, explanations = Snapshots(connection, leadership), Explanations(connection, leadership)
    intake, clock = Intake(telemetry), ServiceClock(connection)
    view = View()
    feed = Feed(view)
    forecasting = Forecasting(choice=Choice(Models(connection)), configuration=configuration)
    leader = Leader(
        leadership=leadership,
        work=Rounds(
            telemetry=telemetry,
            snapshots=snapshots,
            controls=Controls(connection, leadership),
            explanations=explanations,
            configuration=configuration,
            foresee=forecasting.foresee,
            now_unix_ms=clock.now_unix_ms,
        ),
        heard=lambda: view.packed.term if view.packed else 0,
    )
    membership = Membership(name=settings.name, replicas=replicas, configuration=configuration)
    audit_log = AuditLog(connection)
    audit = Audit(audit_log, replica=settings.name)
    ring = KeyRing(settings.tenants_directory)
    credentials = Credentials(ring=ring, cluster=keys, published=published, figures=metrics.SERVING)
    guard = Guard(config, credentials=credentials, audit=audit)
    configuration.on_change(guard.configure)
    secrets = []
    if api_server:
        watch = SecretsWatch(server=api_server, namespace=config.namespace, ring=ring, changed=guard.look)
        watch.configure(config)
        configuration.on_change(watch.configure)
        secrets.append(watch.run())
    feed.announce(config)
    configuration.on_change(feed.announce)
    boot, used = os.urandom(BOOT_BYTES), UsageBook()
    usage = Usage(connection, boot=boot.hex())
    quotas = Quotas(connection, boot=boot.hex())
    keeper = Keeper(
        quotas,
        boot=boot,
        config=config,
        held_off_ms=Pressure(view, configuration, config).wait_ms,
        usage=used,
    )
    configuration.on_change(keeper.configure)
    service = Service(
        telemetry=telemetry,
        intake=intake,
        clock=clock,
        leadership=leadership,
        replicas=replicas,
        explanations=explanations,
        configuration=configuration,
        view=view,
        answers=HintAnswers(view),
        feed=feed,
        leader=leader,
        guard=guard,
        audit=audit,
        audit_log=audit_log,
        quotas=keeper,
        shared_quotas=quotas,
        usage=usage,
        certificates=certificates,
        draining=asyncio.Event(),
    )
    gauges.publish(view, intake)
    try:
        async with (
            tasks.beside(UsageWriter(used, usage).run(), *secrets),
            tasks.beside(keeper.link.run(), *([url_file.follow(connection)] if url_file else [])),
            tasks.beside(guard.run(), audit.run(), clock.run(), intake.run(), _follow_snapshots(snapshots, view)),
            _listening(application(service), settings.host, settings.port, certificates) as listener,
            _listening_fast(service, settings, tasks) as fast,
        ):
            async with tasks.beside(leader.run(), membership.run(), forecasting.run()):
                gc.freeze()
                gc.set_threshold(_GARBAGE)
                _log.info("serving", extra={"port": settings.port, "replica": settings.name})
                await tasks.until(stop)
                _log.info("draining")
                service.draining.set()
            await asyncio.sleep(ANNOUNCE_S)
            feed.end()
            await asyncio.gather(listener.drain(), *([fast.drain()] if fast else []))
    finally:
        await connection.close()


@asynccontextmanager
async def _listening(
    app: web.Application, host: str, port: int, tls: Certificates | None = None
) -> AsyncIterator[Listener]:
    """Listen within the block."""
    listener = await Listener.open(app, host=host, port=port, tls=tls)
    try:
        yield listener
    finally:
        await listener.close()


@asynccontextmanager
async def _listening_fast(service: Service, settings: Settings, tasks: Tasks) -> AsyncIterator[FastListener | None]:
    """Listen within the block, where that is asked for."""
    if not settings.fast_port:
        yield None
        return
    listener = FastListener(service, host=settings.host, port=settings.fast_port, tls=service.certificates)
    try:
        async with tasks.beside(listener.run()):
            yield listener
    finally:
        await listener.close()


async def _follow_snapshots(snapshots: Snapshots, view: View) -> None:
    """Take in what the leader publishes, for ever; meanwhile the last snapshot is served as it drifts."""
    while True:
        try:
            async for snapshot in snapshots.follow():
                view.accept(snapshot)
        except StoreError as error:
            metrics.STORE_ERRORS.labels("follow").inc()
            _log.warning("snapshots are out of reach", extra={"reason": str(error)})
        await asyncio.sleep(RECONNECT_S)
