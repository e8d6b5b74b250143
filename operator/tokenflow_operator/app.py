"""Puts the parts together, and takes them apart in order."""

import asyncio
import functools
import logging
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import kopf

from tokenflow_api.tasks import Tasks, ended, first, reraise
from tokenflow_operator.cache import Cache
from tokenflow_operator.contests import Contests
from tokenflow_operator.election import Alone, Election, Leadership
from tokenflow_operator.execute import Executor
from tokenflow_operator.feed import Feed
from tokenflow_operator.follow import Follower, Reach
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.hint_service import HintService
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.login import connect
from tokenflow_operator.notify.addresses import Addresses
from tokenflow_operator.notify.dispatcher import Dispatcher
from tokenflow_operator.notify.poster import Poster
from tokenflow_operator.observe import Observer
from tokenflow_operator.polls import Polls
from tokenflow_operator.probes import exporter, probes
from tokenflow_operator.reconcile import Reconciler
from tokenflow_operator.recorder import Recorder
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import Known
from tokenflow_operator.watch import watch
from tokenflow_operator.webhook import Keeper, Webhook, WebhookOptions
from tokenflow_operator.workers import Workers
from tokenflow_operator.workqueue import WorkQueue

DRAIN_S: Final = 1.0
"""Longest wait for passes under way: what one leaves undone the next leader's first pass finds."""

_KEPT_S: Final = 60.0
"""Seconds that a connection to a hint service is kept for the next question: setting one up costs more than asking."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How this process runs.

    Attributes:
        reach: what it looks at.
        instance: name of this replica.
        lease: name of the Lease, in the operator's own namespace, that decides who leads; empty to lead without one.
        webhook: how the admission webhook is served, if it is.
        kubeconfig: file with credentials; without it the pod's service account serves.
        token_file: projected token for the hint services.
        workers: resources worked on at a time.
        port: of the probes.
        metrics_port: of the metrics.
    """

    reach: Reach
    instance: str
    lease: str
    webhook: WebhookOptions | None
    kubeconfig: str | None
    token_file: Path
    workers: int
    port: int
    metrics_port: int


async def run(options: Options, installation: Installation) -> None:
    """Run the operator until SIGTERM or SIGINT, then end the passes under way.

    Raises:
        ConfigError: there are no usable credentials.
        KubeError: watching has failed for good.
    """
    heartbeat = Heartbeat()
    login = functools.partial(connect, kubeconfig=options.kubeconfig, instance=options.instance)
    async with (
        await login() as client,
        # Renewals of the Lease have connections of their own: nothing else may delay them.
        await login() as lease_client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=_KEPT_S)) as session,
        # Receivers that hang take no connections from the hint services.
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as outside,
        exporter(port=options.metrics_port),
    ):
        leadership = _leadership(options, Kube(lease_client), installation.identity.namespace)
        kube = Kube(client, gate=leadership.budget_s)
        async with probes(heartbeat, leadership, port=options.port):
            hint_service = HintService(session=session, token_file=options.token_file)
            engine = _engine(kube, hint_service, Poster(outside), heartbeat, leadership, options, installation)
            await _run(engine, options, leadership)
    _log.info("ended")


def _leadership(options: Options, kube: Kube, namespace: str) -> Leadership:
    # A container that starts again in the same pod is another candidate than the one that ended.
    identity = f"{options.instance}_{secrets.token_hex(4)}"
    if not options.lease:
        return Alone(identity=identity)
    return Election(kube=kube, namespace=namespace, name=options.lease, identity=identity)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Engine:
    """What runs: the first two always, the others while this replica leads.

    Attributes:
        follower: keeps the cache like the cluster.
        feed: takes what kopf sees.
        polls: ask the hint services.
        workers: reconcile.
        dispatcher: tells receivers of alerts.
        queue: between them.
        webhook: answers the API server, where it is switched on.
        heartbeat: of them all.
    """

    follower: Follower
    feed: Feed
    polls: Polls
    workers: Workers
    dispatcher: Dispatcher
    queue: WorkQueue[Key]
    webhook: Webhook | None
    heartbeat: Heartbeat


def _engine(
    kube: Kube,
    hint_service: HintService,
    poster: Poster,
    heartbeat: Heartbeat,
    leadership: Leadership,
    options: Options,
    installation: Installation,
) -> _Engine:
    cache, queue = Cache(), WorkQueue[Key]()
    feed = Feed(cache, queue)
    polls = Polls(hint_service=hint_service, changed=feed.heard_from)
    dispatcher = Dispatcher(addresses=Addresses(kube), poster=poster, settled=queue.add)
    observer = Observer(cache=cache, polls=polls, kube=kube, nodes=options.reach.nodes)
    reconciler = Reconciler(
        kube=kube,
        feed=feed,
        observer=observer,
        executor=Executor(kube=kube, feed=feed, contests=Contests()),
        recorder=Recorder(kube=kube, instance=options.instance),
        dispatcher=dispatcher,
        installation=installation,
    )
    return _Engine(
        follower=Follower(kube=kube, feed=feed, heartbeat=heartbeat, reach=options.reach),
        feed=feed,
        polls=polls,
        workers=Workers(queue, reconciler.reconcile, heartbeat),
        dispatcher=dispatcher,
        queue=queue,
        webhook=_webhook(options.webhook, kube, leadership, lambda: observer.known() if heartbeat.ready else None),
        heartbeat=heartbeat,
    )


def _webhook(
    options: WebhookOptions | None, kube: Kube, leadership: Leadership, known: Callable[[], Known | None]
) -> Webhook | None:
    if options is None:
        return None
    keeper = Keeper(options=options, kube=kube, leadership=leadership, now=lambda: datetime.now(UTC))
    return Webhook(port=options.port, keeper=keeper, known=known)


async def _run(engine: _Engine, options: Options, leadership: Leadership) -> None:
    asked_to_end, stop_watching = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    watching = asyncio.create_task(_watch(engine, options, on_signal=asked_to_end.set, stop=stop_watching))
    electing = asyncio.create_task(leadership.run())
    following = asyncio.create_task(engine.follower.run())
    leading = asyncio.create_task(_lead(engine, options, leadership))
    answering = [asyncio.create_task(engine.webhook.run())] if engine.webhook else []
    parts = (watching, electing, following, leading, *answering)
    for part in parts:
        part.add_done_callback(lambda _: asked_to_end.set())
    _log.info("started", extra={"namespace": options.reach.namespace or "all"})
    try:
        await asked_to_end.wait()
        _log.info("draining")
        broken = [part for part in parts if part.done()]
        engine.queue.close()
        await asyncio.wait([leading], timeout=DRAIN_S if leadership.leading.is_set() else 0)
    finally:
        await ended(leading, following, electing, *answering)
        await leadership.release()
        stop_watching.set()
        await asyncio.wait([watching])
    # None of them ends by itself while all is well.
    for part in broken:
        reraise(part)


async def _watch(engine: _Engine, options: Options, *, on_signal: Callable[[], None], stop: asyncio.Event) -> None:
    """Let kopf watch from when there is something to watch: it never looks again for a kind that it did not find."""
    await Tasks().until(engine.follower.listed, stop)
    if not stop.is_set():
        login = functools.partial(_login, kubeconfig=options.kubeconfig)
        await watch(engine.feed, login=login, namespace=options.reach.namespace, on_signal=on_signal, stop=stop)


async def _lead(engine: _Engine, options: Options, leadership: Leadership) -> None:
    """Work, from when this replica leads until the queue is closed."""
    await leadership.leading.wait()
    engine.heartbeat.expect(lambda: engine.queue.oldest_s)
    await first(engine.polls.run(), engine.dispatcher.run(), engine.workers.run(options.workers))


async def _login(*, kubeconfig: str | None, **given: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**given) if kubeconfig else kopf.login_with_service_account(**given)
