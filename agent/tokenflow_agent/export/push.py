"""Pushes the figures to an OpenTelemetry collector."""

import asyncio
import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tokenflow_agent.delivery.http import HttpClient
from tokenflow_agent.errors import ExchangeError
from tokenflow_agent.export.model import NO_LABELS, Family, Labels, Point, counter, gauge
from tokenflow_agent.export.otlp import document

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 60.0
TIMEOUT_S: Final = 10.0
_HEADERS: Final = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
_DURATION: Final = gauge("otlp_export_duration_seconds", "How long the last push to the OTLP endpoint took.")
_PUSHES: Final = counter("tokenflow_agent_otlp_exports", "Pushes to the OTLP endpoint by outcome.")
_GZIP: Final = 31
_WORDS: Final = 300


class Pusher:
    """Sends all figures every ``INTERVAL_S`` while an endpoint is set.

    A push that fails is not repeated: the next one says more, since its sums are those since the start.

    Args:
        families: called for the figures.
        resource: attributes of the agent.
        interval_s: time between two pushes.
    """

    def __init__(
        self,
        families: Callable[[], Iterator[Family]],
        *,
        resource: Mapping[str, str],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._families = families
        self._resource = resource
        self._interval_s = interval_s
        self._endpoint = ""
        self._client = HttpClient("")
        self._outcomes: Counter[str] = Counter()
        self._took_s: float | None = None
        self._wanted = asyncio.Event()

    def follow(self, endpoint: str | None) -> None:
        """Push there from now on; nowhere where it is ``None``."""
        if (endpoint or "") != self._endpoint:
            self._client.close()
            self._endpoint = endpoint or ""
            self._client = HttpClient(self._endpoint)
        if endpoint:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def run(self) -> None:
        """Push for ever."""
        try:
            while True:
                await self._wanted.wait()
                await self.push()
                await asyncio.sleep(self._interval_s)
        finally:
            self._client.close()

    async def push(self) -> None:
        """Push once; a failure is counted and logged."""
        began = time.monotonic()
        try:
            answer = await self._client.post("/v1/metrics", await self._body(), headers=_HEADERS, timeout_s=TIMEOUT_S)
        except ExchangeError as error:
            outcome, words = error.reason, str(error)
        else:
            outcome = "Sent" if 200 <= answer.status < 300 else f"HTTP{answer.status}"  # noqa: PLR2004 - HTTP's
            words = answer.body[:_WORDS].decode(errors="replace")
        self._took_s = time.monotonic() - began
        if outcome != "Sent" and not self._outcomes[outcome]:
            _log.warning("a push to the OTLP endpoint failed", extra={"reason": outcome, "detail": words})
        self._outcomes[outcome] += 1

    async def _body(self) -> bytes:
        packer = zlib.compressobj(level=1, wbits=_GZIP)
        packed = bytearray()
        for piece in document(self._families(), resource=self._resource, at_s=time.time()):
            packed += packer.compress(piece.encode())
            # The windows must not wait for all of it.
            await asyncio.sleep(0)
        return bytes(packed + packer.flush())

    def families(self) -> Iterator[Family]:
        """Yield the metrics of the pushes."""
        if self._took_s is not None:
            yield _DURATION, [Point(NO_LABELS, self._took_s)]
        yield _PUSHES, [Point(Labels(("outcome",), (name,)), value) for name, value in self._outcomes.items()]
