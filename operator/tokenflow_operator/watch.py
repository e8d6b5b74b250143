"""Feeds the cache with our own resources. kopf watches them; it handles nothing.

kopf's own handlers keep their state in annotations and finalizers of the objects, and act on
edges; an ``on.event`` handler does neither, so it costs no write, and a missed event is made
good by the next listing. What the resources own is watched elsewhere (``reflector``): kopf keeps
a worker and a memory for each object, and does not tell when all have been listed.
"""

import asyncio
import functools
import itertools
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import kopf

from tokenflow_operator.errors import KubeError
from tokenflow_operator.feed import Feed
from tokenflow_operator.kube import Kind
from tokenflow_operator.kube.kinds import OWNERS

Login = Callable[..., Awaitable[kopf.ConnectionInfo | None]]

_FINALIZER: Final = "tokenflow.io/operator"
_MAX_RETRY_S: Final = 10.0


async def watch(
    feed: Feed, *, login: Login, namespace: str, on_signal: Callable[[], None], stop: asyncio.Event
) -> None:
    """Feed the cache until told to stop.

    Args:
        feed: is told.
        login: gives kopf its credentials.
        namespace: the only one to watch; all of them for an empty name.
        on_signal: called on SIGTERM and SIGINT.
        stop: ends the watches when set.

    Raises:
        KubeError: watching has failed for good.
    """
    loop = asyncio.get_running_loop()
    older_tasks = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=_registry(feed, login=login),
        settings=_settings(),
        standalone=True,
        clusterwide=not namespace,
        namespaces=[namespace] if namespace else [],
        stop_flag=stop,
    )
    # In place of kopf's own handlers: it would end at once, and cancel every task of the loop that is younger
    # than itself, parts of the passes under way among them.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await kopf.run_tasks(tasks, ignored=older_tasks)
    except Exception as error:
        # kopf has retried by now; what it raises is no documented set.
        raise KubeError(f"watching has failed: {error}") from error


def _registry(feed: Feed, *, login: Login) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login)

    for kind in OWNERS:
        kopf.on.event(*_selector(kind), registry=registry)(functools.partial(_told, feed, kind))
    return registry


async def _told(feed: Feed, kind: Kind, *, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's
    if type == "DELETED":
        feed.drop(kind, dict(body))
    else:
        feed.put(kind, dict(body))


def _settings() -> kopf.OperatorSettings:
    """Let kopf only watch: no posting, no peering, no scanning of the cluster."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Persistence()
    # A worker holds its object's last event until it ends.
    settings.queueing.idle_timeout = 0.5
    settings.persistence.finalizer = _FINALIZER
    settings.process.ultimate_exiting_timeout = 30
    return settings


class _Persistence:
    """Seconds between attempts at a request, without end: an API server that is away comes back."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(_MAX_RETRY_S))


def _selector(kind: Kind) -> tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version, kind.plural
