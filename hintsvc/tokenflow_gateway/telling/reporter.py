"""Reports the streams' windows to the hint service, as the agents report theirs."""

import asyncio
import logging
import ssl
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Final

from pydantic import ValidationError

from tokenflow_api.backoff import Backoff
from tokenflow_api.clock import Clock, Instant, now
from tokenflow_api.codec import CONTENT_TYPE, encode
from tokenflow_api.tasks import lasting
from tokenflow_api.telemetry import BatchReply, Reporter, TelemetryBatch
from tokenflow_api.windows import StreamWindows
from tokenflow_gateway import metrics
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.upstream.hint_service import HintService

_log = logging.getLogger(__name__)

WINDOW_S: Final = 1.0
MAX_WAITING: Final = 60
"""Batches kept while the hint service is away; beyond that the oldest are dropped, and counted."""
LAST_S: Final = 1.0
"""Time to deliver what is left when the gateway ends."""
_LEAST_S: Final = 0.1
"""Shorter windows are not taken: the last one may have to count as longer than it was."""
_TIMEOUT_S: Final = 2.0
_TAKEN: Final = range(200, 300)
_HOPELESS: Final = (400, 403, 413, 422)
"""Answers that the same batch would get again: it must not hold up those behind it."""


class _AwayError(Exception):
    """The hint service took nothing; another try may do."""


@dataclass(kw_only=True, slots=True)
class StreamReporter:
    """Sends a batch per window.

    Attributes:
        url: base URL of the hint service.
        node: name of this gateway pod.
        token: called for the bearer token.
        observe: called for the windows that started at the given Unix time in milliseconds.
        tls: called for how https is verified: another context when that changed; by default as the system says.
    """

    url: InitVar[str]
    node: str
    token: Callable[[], str]
    observe: Callable[[int], StreamWindows]
    tls: InitVar[Callable[[], ssl.SSLContext] | None] = None
    _service: HintService = field(init=False)
    _clock: Clock = field(default_factory=Clock)
    _boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _sequence: int = 0
    _waiting: deque[TelemetryBatch] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _began: float = 0.0
    _started_unix_ms: int = 0

    def __post_init__(self, url: str, tls: Callable[[], ssl.SSLContext] | None) -> None:
        self._service = HintService(url, tls=tls)

    async def run(self) -> None:
        """Observe and send, for ever; at the end also the window that was not over yet."""
        self._begin_window()
        try:
            await lasting(self._observe(), self._send())
        finally:
            self._end_window()
            await self._send_the_rest()

    async def _observe(self) -> None:
        due = time.monotonic()
        while True:
            due += WINDOW_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._end_window()
            self._begin_window()

    def _begin_window(self) -> None:
        self._began, self._started_unix_ms = time.monotonic(), time.time_ns() // 1_000_000

    def _end_window(self) -> None:
        rows = self.observe(self._started_unix_ms)
        took_s = max(_LEAST_S, time.monotonic() - self._began)
        _tell_rates(rows, took_s=took_s)
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
                window_ms=round(took_s * 1000),
                clock_offset_ms=clock.offset_ms,
                clock_error_ms=clock.error_ms,
                streams=rows,
            )
        )
        self._arrived.set()

    async def _send(self) -> None:
        backoff = Backoff()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                await self._deliver()
                backoff.succeeded()
            except _AwayError as error:
                metrics.REPORTS.labels("failed").inc()
                _log.warning("windows wait: the hint service is out of reach", extra={"reason": str(error)})
                self._arrived.set()
                await asyncio.sleep(backoff.failed())

    async def _send_the_rest(self) -> None:
        try:
            async with asyncio.timeout(LAST_S):
                await self._deliver()
        except (_AwayError, TimeoutError) as error:
            metrics.REPORTS.labels("dropped").inc(len(self._waiting))
            _log.warning("the last windows are lost", extra={"reason": str(error), "batches": len(self._waiting)})
        finally:
            self._service.close()

    async def _deliver(self) -> None:
        """Send what waits.

        Raises:
            _AwayError: something of it has to wait further.
        """
        while self._waiting:
            batch = self._waiting[0]
            outcome = await self._post(batch)
            metrics.REPORTS.labels(outcome).inc()
            if self._waiting and self._waiting[0] is batch:
                self._waiting.popleft()

    async def _post(self, batch: TelemetryBatch) -> str:
        document, sent = encode(batch), now()
        try:
            status, body = await self._service.post(
                "/v1/telemetry", document, content_type=CONTENT_TYPE, token=self.token(), within_s=_TIMEOUT_S
            )
        except (GatewayError, TimeoutError) as error:
            raise _AwayError(f"{type(error).__name__}: {error}") from error
        words = body[:300].decode(errors="replace")
        if status in _HOPELESS:
            _log.error("the hint service refused windows", extra={"status": status, "reason": words})
            return "refused"
        if status not in _TAKEN:
            raise _AwayError(f"{status}: {words}")
        self._learn(sent, body)
        return "sent"

    def _learn(self, sent: Instant, document: bytes) -> None:
        """Learn the service's clock from a reply; one that cannot be read teaches nothing."""
        try:
            reply = BatchReply.model_validate_json(document)
        except ValidationError as error:
            _log.warning("a reply of the hint service cannot be read", extra={"reason": str(error)})
        else:
            self._clock.exchanged(sent, reply.received_at_unix_ms)


def _tell_rates(rows: StreamWindows, *, took_s: float) -> None:
    """Show the rate of each tenant that has streams."""
    delivered: Counter[str] = Counter()
    for tenant, tokens in zip(rows.tenant, rows.delivered_tokens, strict=True):
        delivered[tenant] += tokens
    metrics.RATE.clear()
    for tenant, tokens in delivered.items():
        metrics.RATE.labels(tenant).set(tokens / took_s)
