"""Puts the parts together, and takes them apart in order."""

import asyncio
import functools
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import kopf

from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.hint_service import HintService
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.login import connect
from tokenflow_operator.observe import Observer
from tokenflow_operator.probes import exporter, probes
from tokenflow_operator.reconcile import Reconciler
from tokenflow_operator.recorder import Recorder
from tokenflow_operator.settings import Installation
from tokenflow_operator.watch import watch
from tokenflow_operator.workers import resync, work
from tokenflow_operator.workqueue import WorkQueue

DRAIN_S: Final = 20.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How this process runs.

    Attributes:
        namespace: the only one to look after; all of them for an empty name.
        kubeconfig: file with credentials; without it the pod's service account serves.
        token_file: projected token for the hint services.
        workers: resources worked on at a time.
        port: of the probes.
        metrics_port: of the metrics.
    """

    namespace: str
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
    async with (
        await connect(kubeconfig=options.kubeconfig) as client,
        aiohttp.ClientSession() as session,
        probes(heartbeat, port=options.port),
        exporter(port=options.metrics_port),
    ):
        kube = Kube(client)
        hint_service = HintService(session=session, token_file=options.token_file)
        reconciler = Reconciler(
            kube=kube,
            observer=Observer(kube=kube, hint_service=hint_service, namespace=options.namespace),
            recorder=Recorder(kube=kube, instance=os.environ.get("POD_NAME") or socket.gethostname()),
            installation=installation,
        )
        await _run(options, kube, reconciler, heartbeat)
    _log.info("ended")


async def _run(options: Options, kube: Kube, reconciler: Reconciler, heartbeat: Heartbeat) -> None:
    queue = WorkQueue[Key]()
    asked_to_end, stop_watching = asyncio.Event(), asyncio.Event()
    login = functools.partial(_login, kubeconfig=options.kubeconfig)
    watching = asyncio.create_task(
        watch(queue, login=login, namespace=options.namespace, on_signal=asked_to_end.set, stop=stop_watching)
    )
    watching.add_done_callback(lambda _: asked_to_end.set())
    try:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(queue, reconciler.reconcile, heartbeat)) for _ in range(options.workers)]
            resyncing = group.create_task(resync(queue, kube, heartbeat, namespace=options.namespace))
            _log.info("started", extra={"namespace": options.namespace or "all"})
            await asked_to_end.wait()
            _log.info("draining")
            resyncing.cancel()
            queue.close()
            _, late = await asyncio.wait(workers, timeout=DRAIN_S)
            for worker in late:
                worker.cancel()
    finally:
        stop_watching.set()
        await watching


async def _login(*, kubeconfig: str | None, **given: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**given) if kubeconfig else kopf.login_with_service_account(**given)
