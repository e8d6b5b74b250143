"""Delivers windows to one hint service, in order, through its outages."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from pydantic import ValidationError

from tokenflow_agent.delivery.breaker import Breaker
from tokenflow_agent.delivery.http import HttpClient
from tokenflow_agent.delivery.segment import Record
from tokenflow_agent.delivery.state import Circuit
from tokenflow_agent.delivery.verdict import Fate, Verdict, judge
from tokenflow_agent.errors import ExchangeError
from tokenflow_api.clock import Clock, now
from tokenflow_api.codec import CONTENT_TYPE
from tokenflow_api.telemetry import BatchReply, IngestAddress

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
CATCH_UP_PER_S: Final = 20.0
"""Windows per second after an outage: a fleet that comes back must not flood the hint service."""
REFUSED: Final = "Refused"
_WORDS: Final = 300


class Queue(Protocol):
    """What one destination has to get."""

    async def first(self) -> Record:
        """Wait for the oldest window that is not acknowledged, and return it."""

    async def acknowledge(self, record: Record, *, dropped: str = "") -> None:
        """Note that the destination has it, or never will for the reason ``dropped``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What all deliveries share.

    Attributes:
        token: called for the bearer token of each request.
        on_reply: called with each reply.
        clock: learns from each exchange.
        client_tls: a directory per policy of the certificate to show at https.
        sleep: waits for so many seconds.
    """

    token: Callable[[], str]
    on_reply: Callable[[BatchReply], None]
    clock: Clock
    client_tls: Path | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Delivery:
    """Sends one policy's windows.

    Args:
        address: of the hint service.
        queue: what it has to get.
        context: what all deliveries share.
        breaker: tells when to try.

    Attributes:
        outcomes: attempts by outcome.
        message: why the last attempt failed; empty when it did not.
        in_flight: the window that is being sent.
    """

    def __init__(
        self, address: IngestAddress, *, queue: Queue, context: Context, breaker: Breaker | None = None
    ) -> None:
        self.policy = address.policy
        self.url = address.url
        self.outcomes: Counter[str] = Counter()
        self.message = ""
        self.in_flight: Record | None = None
        self._queue = queue
        self._context = context
        self._breaker = breaker or Breaker()
        self._client = HttpClient(
            address.url,
            authorities=address.authorities,
            tls_directory=context.client_tls / address.policy if context.client_tls else None,
        )

    @property
    def circuit(self) -> Circuit:
        """Whether the hint service is tried."""
        return self._breaker.circuit

    async def run(self) -> None:
        """Send what comes, for ever."""
        try:
            while True:
                record = self.in_flight = await self._queue.first()
                began = time.monotonic()
                verdict = await self._attempt(record)
                if verdict.fate is not Fate.AGAIN:
                    self.in_flight = None
                    await self._queue.acknowledge(record, dropped=REFUSED if verdict.fate is Fate.REFUSED else "")
                rest_s = 1 / CATCH_UP_PER_S - (time.monotonic() - began)
                await self._context.sleep(max(rest_s, self._breaker.pause_s()))
        finally:
            self._client.close()

    async def _attempt(self, record: Record) -> Verdict:
        try:
            verdict, words = await self._exchange(record)
        except ExchangeError as error:
            verdict, words = Verdict(Fate.AGAIN), str(error)
        if verdict.fate is Fate.AGAIN:
            # The next try may have another certificate to show, which takes a connection anew.
            self._client.close()
            self.outcomes["failed"] += 1
            self._breaker.failed(at_least_s=verdict.pause_s)
            if not self.message:
                _log.warning("delivery failed", extra={"policy": self.policy, "reason": words})
            self.message = words
            return verdict
        self._breaker.succeeded()
        if verdict.fate is Fate.REFUSED:
            self.outcomes["refused"] += 1
            _log.error("a window was refused", extra={"policy": self.policy, "reason": words})
        else:
            self.outcomes["sent"] += 1
            if self.message:
                _log.info("delivery works again", extra={"policy": self.policy})
        self.message = ""
        return verdict

    async def _exchange(self, record: Record) -> tuple[Verdict, str]:
        """Send ``record``; return what became of it, and why."""
        token = self._context.token()
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        sent = now()
        answer = await self._client.post(
            "/v1/telemetry", record.document, headers={**bearer, "Content-Type": CONTENT_TYPE}, timeout_s=TIMEOUT_S
        )
        verdict = judge(answer.status, answer.headers, now=datetime.now(UTC))
        words = f"{self.url} answered {answer.status}: {answer.body[:_WORDS].decode(errors='replace')}"
        if verdict.fate is Fate.TAKEN:
            try:
                reply = BatchReply.model_validate_json(answer.body)
            except ValidationError as error:
                raise ExchangeError("Protocol", f"{words}: that acknowledges nothing") from error
            self._context.clock.exchanged(sent, reply.received_at_unix_ms)
            self._context.on_reply(reply)
        return verdict, words
