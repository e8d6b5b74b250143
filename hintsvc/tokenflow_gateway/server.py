"""The gateway as a whole: its tasks, its listeners, and how it leaves."""

import asyncio
import logging
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.client_tls import client_context, renew
from tokenflow_api.mounted import mark
from tokenflow_api.projected_tokens import read_token
from tokenflow_client import HintFollower
from tokenflow_gateway.app import Proxy, application, metrics_application
from tokenflow_gateway.configuration import REREAD_S, Configuration
from tokenflow_gateway.reporter import StreamReporter
from tokenflow_gateway.upstreams import UpstreamClient

_log = logging.getLogger(__name__)

ANNOUNCE_S: Final = 1.0
"""Time that a leaving gateway still takes requests, so that load balancers notice."""
DRAIN_S: Final = 50.0
"""Time that running requests have to end; the kubelet kills after 60 s."""
_POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a gateway is set up.

    Attributes:
        pod_namespace: namespace of this pod.
        pod_name: name of this pod.
        runtime_file: mounted copy of the runtime config.
        hint_url: base URL of the hint service.
        hint_tls_directory: a certificate to show there; ``None`` shows none.
        token_file: projected token for the hint service.
        tenants_directory: a directory of API keys per tenant.
        host: address to listen on.
        port: of the API.
        metrics_port: of the metrics.
    """

    pod_namespace: str
    pod_name: str
    runtime_file: Path
    hint_url: str
    token_file: Path
    tenants_directory: Path
    host: str = "0.0.0.0"  # noqa: S104 - it serves the pod's network
    port: int = 8000
    metrics_port: int = 9090
    hint_tls_directory: Path | None = None


async def serve(settings: Settings) -> None:
    """Run a gateway until SIGTERM or SIGINT, then let its streams end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    configuration = Configuration(settings.runtime_file)
    configuration.read()
    tls = _trust(configuration, settings.hint_tls_directory)
    follower = HintFollower(
        settings.hint_url,
        token=lambda: read_token(settings.token_file),
        on_config=lambda config: configuration.offer(config, source="hint service"),
        tls=tls,
    )
    async with UpstreamClient() as upstreams:
        proxy = Proxy(
            configuration=configuration,
            follower=follower,
            upstreams=upstreams,
            keys=KeyRing(settings.tenants_directory),
            pod_namespace=settings.pod_namespace,
            pod_name=settings.pod_name,
            port=settings.port,
            draining=asyncio.Event(),
        )
        reporter = StreamReporter(
            url=settings.hint_url.rstrip("/"),
            node=settings.pod_name,
            token=lambda: read_token(settings.token_file),
            observe=proxy.observe,
            tls=tls,
        )
        runners = [
            await _listen(application(proxy), settings.host, settings.port),
            await _listen(metrics_application(), settings.host, settings.metrics_port),
        ]
        _log.info("serving", extra={"port": settings.port})
        try:
            async with asyncio.TaskGroup() as tasks:
                working = [
                    tasks.create_task(follower.run()),
                    tasks.create_task(reporter.run()),
                    tasks.create_task(configuration.reread()),
                    tasks.create_task(_renew_tls(tls, configuration, settings.hint_tls_directory)),
                ]
                await stop.wait()
                await _drain(proxy)
                for task in working:
                    task.cancel()
        finally:
            for runner in runners:
                await runner.cleanup()


def _trust(configuration: Configuration, directory: Path | None) -> ssl.SSLContext:
    """Return what the hint service is known by.

    Certificates that cannot be read must not keep a gateway from serving: it believes none until they can be.
    """
    try:
        return client_context(_authorities(configuration), directory=directory)
    except OSError as error:
        _log.error("certificates refused, no hint service is believed", extra={"reason": str(error)})
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _renew_tls(tls: ssl.SSLContext, configuration: Configuration, directory: Path | None) -> None:
    """Go by the certificates of the present config and mount, for ever."""
    known = _certificates(configuration, directory)
    while True:
        await asyncio.sleep(REREAD_S)
        present = _certificates(configuration, directory)
        if present == known:
            continue
        known = present
        try:
            renew(tls, _authorities(configuration), directory=directory)
        except OSError as error:
            _log.error("certificates refused, the last good ones stay", extra={"reason": str(error)})


def _authorities(configuration: Configuration) -> str:
    return configuration.current.spec.security.ca_bundle if configuration.current else ""


def _certificates(configuration: Configuration, directory: Path | None) -> object:
    return _authorities(configuration), mark(directory) if directory else None


async def _drain(proxy: Proxy) -> None:
    proxy.draining.set()
    _log.info("draining", extra={"requests": proxy.in_flight})
    await asyncio.sleep(ANNOUNCE_S)
    try:
        async with asyncio.timeout(DRAIN_S):
            while proxy.in_flight:  # noqa: ASYNC110 - requests end one by one, without an event for the last
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        _log.warning("requests are cut off", extra={"requests": proxy.in_flight})


async def _listen(app: web.Application, host: str, port: int) -> web.AppRunner:
    # A reader that leaves cancels its handler, and so the upstream's request.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=4096).start()
    return runner
