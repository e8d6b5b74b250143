"""Feeds the work queue from watches. kopf watches; it handles nothing.

kopf's own handlers keep their state in annotations and finalizers of the objects, and act on
edges; an ``on.event`` handler does neither, so it costs no write, and a missed event is made
good by the resync.
"""

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import kopf

from tokenflow_operator.errors import KubeError
from tokenflow_operator.keys import OWNER_LABEL, Key, key_of, owner_of
from tokenflow_operator.kube import Manifest
from tokenflow_operator.kube.kinds import (
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    OWNERS,
    PACING_POLICY,
    POD,
    SERVICE,
    TELEMETRY_AGENT,
    Kind,
)
from tokenflow_operator.workqueue import WorkQueue

Login = Callable[..., Awaitable[kopf.ConnectionInfo | None]]

_WATCHED_CHILDREN: Final = (DEPLOYMENT, DAEMON_SET, CONFIG_MAP, SERVICE, POD)
_FINALIZER: Final = "tokenflow.io/operator"
_MAX_RETRY_S: Final = 10.0


async def watch(
    queue: WorkQueue[Key], *, login: Login, namespace: str, on_signal: Callable[[], None], stop: asyncio.Event
) -> None:
    """Queue the keys of what changes, until told to stop.

    Args:
        queue: takes the keys.
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
        registry=_registry(queue, login=login),
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


def concerned(resource: Manifest) -> list[Key]:
    """Return whose plans depend on a resource of ours: its own, and those of the agents that a policy names."""
    key = key_of(resource)
    if key.kind != PACING_POLICY.kind:
        return [key]
    agents = resource.get("spec", {}).get("telemetry", {}).get("agents", [])
    return [key, *(Key(kind=TELEMETRY_AGENT.kind, namespace=key.namespace, name=a["name"]) for a in agents)]


def _registry(queue: WorkQueue[Key], *, login: Login) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login)

    async def resource_changed(body: kopf.Body, **_: Any) -> None:
        for key in concerned(dict(body)):
            queue.add(key)

    async def child_changed(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        owner = owner_of(namespace=namespace or "", label=labels.get(OWNER_LABEL, ""))
        if owner is not None:
            queue.add(owner)

    for kind in OWNERS:
        kopf.on.event(*_selector(kind), registry=registry)(resource_changed)
    for kind in _WATCHED_CHILDREN:
        kopf.on.event(*_selector(kind), registry=registry)(child_changed)
    return registry


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
    settings.persistence.finalizer = _FINALIZER
    settings.process.ultimate_exiting_timeout = 30
    for kind in _WATCHED_CHILDREN:
        settings.watching.label_selectors[_selector(kind)] = OWNER_LABEL
    return settings


class _Persistence:
    """Seconds between attempts at a request, without end: an API server that is away comes back."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(_MAX_RETRY_S))


def _selector(kind: Kind) -> tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version, kind.plural
