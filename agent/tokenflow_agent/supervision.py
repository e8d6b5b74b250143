"""Keeps an unexpected failure of one source from touching the others, and begins it anew where it goes on failing."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from tokenflow_agent.retry import Retry
from tokenflow_agent.sources import Findings, Source, Window
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 100.0
"""For any one call: a compile takes a second or two, a reading some milliseconds."""
PATIENCE: Final = 3
"""Failures in a row after which a source is begun anew: one alone may be the window's fault."""
_REASON: Final = "SourceFailed"
_MESSAGE: Final = 1024

T = TypeVar("T")


class Supervised:
    """A source that never raises, and never takes for ever.

    A call that fails is logged with its traceback, counted, and told in the source's signals until the source
    works again. One that fails again and again is closed and made anew, after pauses that grow.

    Args:
        make: makes the source, which does the work.
        timeout_s: for any one call.
        retry: tells when it may be made anew.

    Attributes:
        name: of the source.
        failures: calls that failed.
    """

    def __init__(self, make: Callable[[], Source], *, timeout_s: float = TIMEOUT_S, retry: Retry | None = None) -> None:
        self.failures = 0
        self._make = make
        self._source: Source | None = make()
        self.name = type(self._source).__name__
        self._timeout_s = timeout_s
        self._retry = retry or Retry()
        self._restarts_before = 0
        self._words: dict[str, str] = {}
        self._in_row: Counter[str] = Counter()
        self._known: Sequence[Signal] = ()

    @property
    def restarts(self) -> int:
        """How often the source, or a part of it, was begun anew."""
        return self._retry.restarts + self._restarts_before + (self._source.restarts if self._source else 0)

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be as ``spec`` asks."""
        if self._source is not None and max(self._in_row.values(), default=0) >= PATIENCE:
            await self._give_up(self._source)
        if self._source is None and self._retry.due:
            self._source = self._make()
            self._retry.succeeded()
        if self._source is not None:
            await self._call("follow", self._source.follow(spec), otherwise=lambda: None)

    async def collect(self, window: Window) -> Findings:
        """Return what was seen since the last call; nothing where the source failed."""
        if self._source is None:
            return Findings()
        return await self._call("collect", self._source.collect(window), otherwise=Findings)

    def signals(self) -> Sequence[Signal]:
        """Return how each signal of the source is read now, or why not."""
        if self._source is not None:
            try:
                self._known = self._source.signals()
            except Exception as error:  # noqa: BLE001 - a source fails alone, however it fails
                self._failed("signals", error)
            else:
                self._well("signals")
        words = next(iter(self._words.values()), "")
        if not words:
            return self._known
        known = self._known or [Signal(name=self.name, state=SignalState.DEGRADED)]
        failure = {"state": SignalState.DEGRADED, "reason": _REASON, "message": words[:_MESSAGE]}
        return [signal.model_copy(update=failure) for signal in known]

    async def close(self) -> None:
        """Let go of the kernel and of the devices."""
        if self._source is not None:
            await self._call("close", self._source.close(), otherwise=lambda: None)

    async def _give_up(self, source: Source) -> None:
        _log.warning("a source goes on failing: it is begun anew", extra={"source": self.name})
        await self.close()
        self._well("close")
        self._restarts_before += source.restarts
        self._source = None
        self._in_row.clear()
        self._retry.failed()

    async def _call(self, what: str, call: Awaitable[T], *, otherwise: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await call
        except Exception as error:  # noqa: BLE001 - a source fails alone, however it fails
            self._failed(what, error)
            return otherwise()
        self._well(what)
        return result

    def _well(self, what: str) -> None:
        self._words.pop(what, None)
        self._in_row.pop(what, None)

    def _failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        self._in_row[what] += 1
        # The same failure comes with every window: its traceback once is enough.
        known, self._words[what] = self._words.get(what) == _described(error), _described(error)
        _log.log(
            logging.DEBUG if known else logging.ERROR,
            "a source failed",
            exc_info=error,
            extra={"source": self.name, "call": what},
        )


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}: this is a fault of the agent, its log has more"
