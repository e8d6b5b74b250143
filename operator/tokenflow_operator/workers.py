"""The workers that empty the queue, and the resync that fills it when watches fall silent."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from tokenflow_operator import metrics
from tokenflow_operator.errors import KubeError, OperatorError
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.keys import Key, key_of
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.kinds import OWNERS
from tokenflow_operator.workqueue import WorkQueue

PASS_TIMEOUT_S: Final = 60.0
RESYNC_S: Final = 30.0

_log: Final = logging.getLogger(__name__)


async def work(
    queue: WorkQueue[Key], reconcile: Callable[[Key], Awaitable[float | None]], heartbeat: Heartbeat
) -> None:
    """Reconcile one key after the other until the queue is closed; a failed one is tried again later."""
    while (key := await queue.get()) is not None:
        metrics.QUEUE_DEPTH.set(len(queue))
        started = time.monotonic()
        try:
            async with asyncio.timeout(PASS_TIMEOUT_S):
                again_s = await reconcile(key)
        except (OperatorError, TimeoutError) as error:
            result = "error"
            delay_s = queue.retry(key)
            cause = str(error) or type(error).__name__
            _log.warning("pass failed", extra={"key": str(key), "cause": cause, "retry_in_s": round(delay_s, 2)})
        except Exception:  # noqa: BLE001 - a defect in one resource's plan must not stop the others' passes
            result = "defect"
            _log.exception("pass failed by a defect", extra={"key": str(key), "retry_in_s": queue.retry(key)})
        else:
            result = "ok"
            queue.succeeded(key)
            if again_s is not None:
                queue.add_after(key, again_s)
        finally:
            queue.done(key)
        heartbeat.passed()
        metrics.RECONCILES.labels(kind=key.kind, result=result).inc()
        metrics.RECONCILE_SECONDS.labels(kind=key.kind).observe(time.monotonic() - started)


async def resync(queue: WorkQueue[Key], kube: Kube, heartbeat: Heartbeat, *, namespace: str) -> None:
    """List all resources now and then, and queue them: what a watch missed is found here. Runs until cancelled.

    Args:
        queue: takes the keys.
        kube: is listed.
        heartbeat: is told.
        namespace: the only one to look at; all of them for an empty name.
    """
    while True:
        try:
            for kind in OWNERS:
                for manifest in await kube.list(kind, namespace=namespace):
                    queue.add(key_of(manifest))
        except KubeError as error:
            metrics.RESYNCS.labels(result="error").inc()
            _log.warning("resync failed", extra={"cause": str(error)})
        else:
            metrics.RESYNCS.labels(result="ok").inc()
            heartbeat.synced()
        heartbeat.passed()
        await asyncio.sleep(RESYNC_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
