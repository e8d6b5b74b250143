"""Reports the streams' windows to the hint service, as the agents report theirs."""

import asyncio
import logging
import ssl
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from pydantic import ValidationError

from tokenflow_api.backoff import Backoff
from tokenflow_api.clock import Clock, Instant, now
from tokenflow_api.codec import CONTENT_TYPE, encode
from tokenflow_api.telemetry import BatchReply, Reporter, TelemetryBatch
from tokenflow_api.windows import StreamWindows
from tokenflow_gateway import metrics

_log = logging.getLogger(__name__)

WINDOW_S: Final = 1.0
MAX_WAITING: Final = 60
"""Batches kept while the hint service is away; beyond that the oldest are dropped, and counted."""
_TIMEOUT_S: Final = 2.0
_HOPELESS: Final = (400, 413, 422)
"""Answers that the same batch would get again: it must not hold up those behind it."""


@dataclass(kw_only=True, slots=True)
class StreamReporter:
    """Sends a batch per window.

    Attributes:
        url: base URL of the hint service.
        node: name of this gateway pod.
        token: called for the bearer token.
        observe: called for the windows that started at the given Unix time in milliseconds.
        tls: how https is verified; by default as the system says.
    """

    url: str
    node: str
    token: Callable[[], str]
    observe: Callable[[int], StreamWindows]
    tls: ssl.SSLContext | None = None
    _clock: Clock = field(default_factory=Clock)
    _boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _sequence: int = 0
    _waiting: deque[TelemetryBatch] = field(default_factory=deque)

    async def run(self) -> None:
        """Observe and send, for ever."""
        arrived = asyncio.Event()
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), connector=aiohttp.TCPConnector(ssl=self.tls or True)
            ) as session,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._observe(arrived))
            tasks.create_task(self._send(session, arrived))

    async def _observe(self, arrived: asyncio.Event) -> None:
        due = time.monotonic()
        while True:
            due += WINDOW_S
            started = time.time_ns() // 1_000_000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            rows = self.observe(started)
            clock = self._clock.reading()
            self._sequence += 1
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                metrics.REPORTS.labels("dropped").inc()
            self._waiting.append(
                TelemetryBatch(
                    reporter=Reporter.GATEWAY,
                    node=self.node,
                    boot_id=self._boot_id,
                    sequence=self._sequence,
                    sent_at_unix_ms=time.time_ns() // 1_000_000,
                    window_ms=round(WINDOW_S * 1000),
                    clock_offset_ms=clock.offset_ms,
                    clock_error_ms=clock.error_ms,
                    streams=rows,
                )
            )
            arrived.set()

    async def _send(self, session: aiohttp.ClientSession, arrived: asyncio.Event) -> None:
        backoff = Backoff()
        while True:
            await arrived.wait()
            arrived.clear()
            while self._waiting:
                batch = self._waiting[0]
                try:
                    outcome = await self._post(session, batch)
                except (aiohttp.ClientError, TimeoutError) as error:
                    metrics.REPORTS.labels("failed").inc()
                    _log.warning("windows wait: the hint service is out of reach", extra={"reason": str(error)})
                    await asyncio.sleep(backoff.failed())
                    continue
                backoff.succeeded()
                metrics.REPORTS.labels(outcome).inc()
                if self._waiting and self._waiting[0] is batch:
                    self._waiting.popleft()

    async def _post(self, session: aiohttp.ClientSession, batch: TelemetryBatch) -> str:
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": CONTENT_TYPE}
        sent = now()
        async with session.post(f"{self.url}/v1/telemetry", data=encode(batch), headers=headers) as answer:
            document = await answer.text()
            words = document[:300]
            if answer.status in _HOPELESS:
                _log.error("the hint service refused windows", extra={"status": answer.status, "reason": words})
                return "refused"
            if not answer.ok:
                # The next try may have another certificate to show, which takes a connection anew.
                answer.close()
                raise aiohttp.ClientError(f"{answer.status}: {words}")
        self._learn(sent, document)
        return "sent"

    def _learn(self, sent: Instant, document: str) -> None:
        """Learn the service's clock from a reply; one that cannot be read teaches nothing."""
        try:
            reply = BatchReply.model_validate_json(document)
        except ValidationError as error:
            _log.warning("a reply of the hint service cannot be read", extra={"reason": str(error)})
        else:
            self._clock.exchanged(sent, reply.received_at_unix_ms)
