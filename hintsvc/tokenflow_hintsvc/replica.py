"""A replica as a whole: its tasks, its listeners, and how it leaves."""

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.hints import Replica
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.application import application, metrics_application
from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.guard.access import Guard
from tokenflow_hintsvc.guard.credentials import Credentials
from tokenflow_hintsvc.guard.keysets import KeySource
from tokenflow_hintsvc.leader import Leader
from tokenflow_hintsvc.observability.level import follow_level
from tokenflow_hintsvc.sources.follow import ConfigSource, follow
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.store.replicas import Replicas
from tokenflow_hintsvc.store.snapshots import Snapshots
from tokenflow_hintsvc.store.telemetry import Telemetry
from tokenflow_hintsvc.view.answers import HintAnswers
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.feed import Feed

_log = logging.getLogger(__name__)

ACKNOWLEDGE_S: Final = 1.0
RECONNECT_S: Final = 0.5
ANNOUNCE_S: Final = 1.0
"""Time that a leaving replica still serves, so that load balancers notice."""
SHUTDOWN_S: Final = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a replica is set up.

    Attributes:
        name: of this replica, unique in its policy.
        redis_url: where the shared state is.
        tenants_directory: a directory of API keys per tenant.
        host: address to listen on.
        port: of the API.
        metrics_port: of the metrics.
        log_level: how much is logged; ``None`` is as the config says.
    """

    name: str
    redis_url: str
    tenants_directory: Path
    host: str = "0.0.0.0"  # noqa: S104 - it serves the pod's network
    port: int = 8080
    metrics_port: int = 9090
    log_level: str | None = None


async def serve(settings: Settings, *, sources: Sequence[ConfigSource], keys: KeySource) -> None:
    """Run a replica until SIGTERM or SIGINT, then drain.

    Args:
        settings: how it is set up.
        sources: of the runtime config.
        keys: of the issuer of service-account tokens.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    configuration = Configuration()
    if settings.log_level is None:
        configuration.on_change(follow_level)
    async with asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(follow(configuration, source)) for source in sources]
        waiting = tasks.create_task(stop.wait())
        arriving = tasks.create_task(configuration.arrived.wait())
        await asyncio.wait({waiting, arriving}, return_when=asyncio.FIRST_COMPLETED)
        arriving.cancel()
        waiting.cancel()
        if configuration.current is not None and not stop.is_set():
            await _serve_policy(settings, configuration, configuration.current, keys=keys, stop=stop)
        for task in following:
            task.cancel()


async def _serve_policy(
    settings: Settings, configuration: Configuration, config: RuntimeConfig, *, keys: KeySource, stop: asyncio.Event
) -> None:
    connection = Connection(settings.redis_url, policy_uid=config.uid)
    leadership, replicas, telemetry = Leadership(connection), Replicas(connection), Telemetry(connection)
    snapshots = Snapshots(connection, leadership)
    view = View()
    feed = Feed(view)
    leader = Leader(
        name=settings.name,
        leadership=leadership,
        telemetry=telemetry,
        snapshots=snapshots,
        configuration=configuration,
    )
    guard = Guard(config, credentials=Credentials(ring=KeyRing(settings.tenants_directory), cluster=keys))
    draining = asyncio.Event()
    changed = asyncio.Event()
    configuration.on_change(guard.configure)
    feed.announce(config)
    configuration.on_change(feed.announce)
    configuration.on_change(lambda _: changed.set())
    configuration.on_error(lambda _: changed.set())
    service = Service(
        telemetry=telemetry,
        leadership=leadership,
        replicas=replicas,
        configuration=configuration,
        view=view,
        answers=HintAnswers(view),
        feed=feed,
        leader=leader,
        guard=guard,
        draining=draining,
    )
    runners = [
        await _listen(application(service), settings.host, settings.port),
        await _listen(metrics_application(), settings.host, settings.metrics_port),
    ]
    _log.info("serving", extra={"port": settings.port, "replica": settings.name})
    try:
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(leader.run()),
                tasks.create_task(guard.run()),
                tasks.create_task(_follow_snapshots(snapshots, view)),
                tasks.create_task(_acknowledge(replicas, configuration, settings.name, changed)),
            ]
            await stop.wait()
            _log.info("draining")
            for task in working:
                task.cancel()
        draining.set()
        feed.end()
        await leader.resign()
        await asyncio.sleep(ANNOUNCE_S)
        await _withdraw(replicas, settings.name)
    finally:
        for runner in runners:
            await runner.cleanup()
        await connection.close()


async def _listen(app: web.Application, host: str, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=4096).start()
    return runner


async def _follow_snapshots(snapshots: Snapshots, view: View) -> None:
    """Take in what the leader publishes, for ever; meanwhile the last snapshot is served as it drifts."""
    while True:
        try:
            async for snapshot in snapshots.follow():
                if snapshot is not None:
                    view.accept(snapshot)
        except StoreError as error:
            metrics.STORE_ERRORS.labels("follow").inc()
            _log.warning("snapshots are out of reach", extra={"reason": str(error)})
        await asyncio.sleep(RECONNECT_S)


async def _acknowledge(replicas: Replicas, configuration: Configuration, name: str, changed: asyncio.Event) -> None:
    """Say which generation is served: at once when it changes, and again and again."""
    while True:
        config = configuration.current
        if config is not None:
            try:
                await replicas.acknowledge(
                    Replica(
                        name=name,
                        generation=config.generation,
                        at_unix_ms=time.time_ns() // 1_000_000,
                        error=configuration.error,
                    )
                )
            except StoreError as error:
                metrics.STORE_ERRORS.labels("acknowledge").inc()
                _log.warning("the generation cannot be acknowledged", extra={"reason": str(error)})
        try:
            async with asyncio.timeout(ACKNOWLEDGE_S):
                await changed.wait()
        except TimeoutError:
            continue
        changed.clear()


async def _withdraw(replicas: Replicas, name: str) -> None:
    try:
        await replicas.withdraw(name)
    except StoreError as error:
        _log.warning("this replica's acknowledgement runs out by itself", extra={"reason": str(error)})
