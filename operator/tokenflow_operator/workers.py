"""The workers that empty the queue."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from tokenflow_api.tasks import ended, reraise
from tokenflow_operator import metrics
from tokenflow_operator.errors import OperatorError, UnavailableError
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.keys import Key
from tokenflow_operator.pace import Pace, Paces
from tokenflow_operator.reconcile import Outcome
from tokenflow_operator.workqueue import WorkQueue

PASS_TIMEOUT_S: Final = 60.0
_LEAST_REST_S: Final = 0.05
"""Seconds after a pass that wrote, in which what follows from its writes becomes one pass."""

_log: Final = logging.getLogger(__name__)


class Workers:
    """Reconcile one key after the other; a failed one is tried again later.

    Passes have a rate that they cannot exceed in the long run, all together and those that write to one key, so that
    a dispute with another controller stays a slow one.
    """

    def __init__(
        self, queue: WorkQueue[Key], reconcile: Callable[[Key], Awaitable[Outcome]], heartbeat: Heartbeat
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._heartbeat = heartbeat
        self._pace = Pace(per_s=100.0, burst=1000.0)
        self._writing_paces = Paces[Key](per_s=1.0, burst=60.0)

    async def run(self, count: int) -> None:
        """Let so many work until the queue is closed, and end the passes under way.

        Raises:
            TaskEndedError: a worker ended before, and the process had better start anew than go on with fewer.
        """
        workers = [asyncio.create_task(self._work()) for _ in range(count)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
            if self._queue.closed:
                await asyncio.wait(workers)
        finally:
            await ended(*workers)
        for worker in workers:
            reraise(worker)

    async def _work(self) -> None:
        while (key := await self._queue.get()) is not None:
            metrics.QUEUE_DEPTH.set(len(self._queue))
            rest_s = 0.0
            try:
                rest_s = await self._pass(key)
            finally:
                self._queue.done(key, rest_s=rest_s)
            self._heartbeat.beat()
            await asyncio.sleep(self._pace.spend())

    async def _pass(self, key: Key) -> float:
        """Make one pass, and return the seconds that the key has to rest after it."""
        started = time.monotonic()
        outcome = Outcome(again_s=None, wrote=True)
        try:
            async with asyncio.timeout(PASS_TIMEOUT_S):
                outcome = await self._reconcile(key)
        except (OperatorError, TimeoutError) as error:
            result = "error"
            asked_s = error.retry_after_s if isinstance(error, UnavailableError) else 0.0
            delay_s = self._queue.retry(key, at_least_s=asked_s)
            cause = str(error) or type(error).__name__
            _log.warning("pass failed", extra={"key": str(key), "cause": cause, "retry_in_s": round(delay_s, 2)})
        except Exception:  # noqa: BLE001 - a defect in one resource's plan must not stop the others' passes
            result = "defect"
            _log.exception("pass failed by a defect", extra={"key": str(key), "retry_in_s": self._queue.retry(key)})
        else:
            result = "ok"
            self._queue.succeeded(key)
            if outcome.again_s is not None:
                self._queue.add_after(key, outcome.again_s)
        metrics.RECONCILES.labels(kind=key.kind, result=result).inc()
        metrics.RECONCILE_SECONDS.labels(kind=key.kind).observe(time.monotonic() - started)
        return max(_LEAST_REST_S, self._writing_paces.spend(key)) if outcome.wrote else 0.0
