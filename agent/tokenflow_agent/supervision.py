"""Keeps an unexpected failure of one source from touching the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from tokenflow_agent.sources import Findings, Source, Window
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 100.0
"""For any one call: a compile takes a second or two, a reading some milliseconds."""
_REASON: Final = "SourceFailed"
_MESSAGE: Final = 1024

T = TypeVar("T")


class Supervised:
    """A source that never raises, and never takes for ever.

    A call that fails is logged with its traceback, counted, and told in the source's signals until the source
    works again.

    Args:
        source: does the work.
        timeout_s: for any one call.

    Attributes:
        name: of the source.
        failures: calls that failed.
    """

    def __init__(self, source: Source, *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = type(source).__name__
        self.failures = 0
        self._source = source
        self._timeout_s = timeout_s
        self._words = {"follow": "", "collect": ""}
        self._known: Sequence[Signal] = ()

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be as ``spec`` asks."""
        await self._call("follow", self._source.follow(spec), otherwise=lambda: None)

    async def collect(self, window: Window) -> Findings:
        """Return what was seen since the last call; nothing where the source failed."""
        return await self._call("collect", self._source.collect(window), otherwise=Findings)

    def signals(self) -> Sequence[Signal]:
        """Return how each signal of the source is read now, or why not."""
        words = next(filter(None, self._words.values()), "")
        try:
            self._known = self._source.signals()
        except Exception as error:  # noqa: BLE001 - a source fails alone, however it fails
            self._failed("signals", error)
            words = words or _described(error)
        if not words:
            return self._known
        known = self._known or [Signal(name=self.name, state=SignalState.DEGRADED)]
        failure = {"state": SignalState.DEGRADED, "reason": _REASON, "message": words[:_MESSAGE]}
        return [signal.model_copy(update=failure) for signal in known]

    async def close(self) -> None:
        """Let go of the kernel and of the devices."""
        await self._call("close", self._source.close(), otherwise=lambda: None)

    async def _call(self, what: str, call: Awaitable[T], *, otherwise: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await call
        except Exception as error:  # noqa: BLE001 - a source fails alone, however it fails
            self._failed(what, error)
            self._words[what] = _described(error)
            return otherwise()
        self._words[what] = ""
        return result

    def _failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        # The same failure comes with every window: its traceback once is enough.
        known = self._words.get(what) == _described(error)
        _log.log(
            logging.DEBUG if known else logging.ERROR,
            "a source failed",
            exc_info=error,
            extra={"source": self.name, "call": what},
        )


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}: this is a fault of the agent, its log has more"
