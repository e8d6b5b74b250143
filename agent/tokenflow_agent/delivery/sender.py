"""Delivers batches to one hint service, through its outages."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp
from pydantic import ValidationError

from tokenflow_agent.errors import DeliveryError, RefusedError
from tokenflow_agent.export import metrics
from tokenflow_api.backoff import Backoff
from tokenflow_api.codec import CONTENT_TYPE, encode
from tokenflow_api.telemetry import BatchReply, TelemetryBatch

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 300
"""Batches kept while the hint service is away; beyond it the oldest are dropped, and counted."""
_TIMEOUT_S: Final = 2.0
_REFUSED: Final = (400, 413, 422)
"""Answers that sending again would not change."""


class Delivery:
    """A queue of batches for one hint service, and the task that sends them in order.

    Args:
        policy: whose hint service it is.
        url: its base URL.
        token: called for the bearer token of each request.
        on_reply: called with each reply.
    """

    def __init__(
        self, *, policy: str, url: str, token: Callable[[], str], on_reply: Callable[[BatchReply], None]
    ) -> None:
        self.policy = policy
        self.url = url.rstrip("/")
        self._token = token
        self._on_reply = on_reply
        self._waiting: deque[TelemetryBatch] = deque()
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, batch: TelemetryBatch) -> None:
        """Queue a batch; the oldest makes room when the queue is full."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            metrics.BATCHES.labels(self.policy, "dropped").inc()
        self._waiting.append(batch)
        self._empty.clear()
        self._arrived.set()

    async def flush(self, *, timeout_s: float) -> None:
        """Wait until all is sent, at most ``timeout_s`` seconds; what is left is counted as dropped."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            metrics.BATCHES.labels(self.policy, "dropped").inc(len(self._waiting))
            _log.warning("windows were not delivered", extra={"policy": self.policy, "batches": len(self._waiting)})

    async def run(self) -> None:
        """Send what comes, for ever."""
        backoff = Backoff()
        failing = False
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    batch = self._waiting[0]
                    try:
                        reply = await self._post(session, batch)
                    except RefusedError as error:
                        metrics.BATCHES.labels(self.policy, "refused").inc()
                        _log.error("a batch was refused", extra={"policy": self.policy, "reason": str(error)})
                        self._forget(batch)
                        continue
                    except DeliveryError as error:
                        metrics.BATCHES.labels(self.policy, "failed").inc()
                        if not failing:
                            _log.warning("delivery failed", extra={"policy": self.policy, "reason": str(error)})
                        failing = True
                        await asyncio.sleep(backoff.failed())
                        continue
                    failing = False
                    backoff.succeeded()
                    metrics.BATCHES.labels(self.policy, "sent").inc()
                    self._forget(batch)
                    self._on_reply(reply)
                self._empty.set()

    def _forget(self, batch: TelemetryBatch) -> None:
        """Take the batch out, unless it has made room for newer ones meanwhile."""
        if self._waiting and self._waiting[0] is batch:
            self._waiting.popleft()

    async def _post(self, session: aiohttp.ClientSession, batch: TelemetryBatch) -> BatchReply:
        url = f"{self.url}/v1/telemetry"
        try:
            headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": CONTENT_TYPE}
            async with session.post(url, data=encode(batch), headers=headers) as answer:
                words = await answer.text(errors="replace")
                if answer.status in _REFUSED:
                    raise RefusedError(f"{url} answered {answer.status}: {words[:300]}")
                if not answer.ok:
                    raise DeliveryError(f"{url} answered {answer.status}: {words[:300]}")
                return BatchReply.model_validate_json(words)
        except (aiohttp.ClientError, OSError, TimeoutError, ValidationError) as error:
            raise DeliveryError(f"{url}: {type(error).__name__}: {error}") from error
