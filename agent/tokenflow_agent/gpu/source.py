"""GPUs as a source of the agent. A node without any is no error."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from tokenflow_agent.gpu.reading import Reading, fault
from tokenflow_agent.gpu.session import Session
from tokenflow_agent.gpu.signals import OFF, OVERDUE, STARTING, answered, refused
from tokenflow_agent.gpu.thread import Background
from tokenflow_agent.sources import Findings, Window
from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import Gpu, GpuMode, TelemetryAgentSpec

_log = logging.getLogger(__name__)

LIMIT_S: Final = 5.0
"""Time after which a reading is overdue. It goes on, and none is started beside it: nothing ends a driver's call."""
CLOSE_S: Final = 1.0
"""Time that the driver gets to be let go of when the agent ends."""
_SLACK_S: Final = 0.1
"""How much before its interval is over a reading may start: windows do not start on the dot."""


class GpuSource:
    """Reads the GPUs at their own interval, beside the windows: nobody waits for a reading.

    Args:
        session: reads them.
        clock: monotonic, in seconds.
    """

    def __init__(self, session: Session, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self._spec = Gpu()
        self._running: Background[Reading | None] | None = None
        self._started = float("-inf")
        self._reads = False
        self._met = False
        self._signal = STARTING

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Start a reading where one is due; let go of the driver where none is wanted."""
        self._spec = spec.gpu
        if self._running is not None:
            return
        if spec.gpu.mode is GpuMode.OFF:
            if self._reads:
                self._start(self._session.close)
                self._reads = False
        elif not self._reads or self._clock() - self._started >= seconds(spec.gpu.interval) - _SLACK_S:
            self._start(self._session.read)
            self._reads = True

    async def collect(self, window: Window) -> Findings:  # noqa: ARG002 - a reading has a time of its own
        """Return what the last reading brought, once."""
        running = self._running
        if running is None:
            return Findings()
        if not running.done():
            if self._clock() - self._started >= LIMIT_S:
                self._tell(OVERDUE)
            return Findings()
        self._running = None
        error = running.exception()
        if error is not None:
            self._tell(refused(fault(error), expected=self._met or self._spec.mode is GpuMode.REQUIRED))
            return Findings()
        reading = running.result()
        if reading is None:
            return Findings()
        self._met = True
        self._tell(answered(reading))
        return Findings(gpu=reading.samples, gpu_processes=reading.processes)

    def signals(self) -> Sequence[Signal]:
        """Return how the GPUs are read."""
        return [OFF if self._spec.mode is GpuMode.OFF else self._signal]

    @property
    def restarts(self) -> int:
        """How often NVML was opened anew."""
        return self._session.restarts

    async def close(self) -> None:
        """Let go of the driver, unless it hangs."""
        running = self._running or Background(self._session.close, name="gpu")
        await asyncio.wait([asyncio.wrap_future(running)], timeout=CLOSE_S)

    def _start(self, call: Callable[[], Reading | None]) -> None:
        self._started = self._clock()
        self._running = Background(call, name="gpu")

    def _tell(self, signal: Signal) -> None:
        if signal != self._signal:
            level = logging.WARNING if signal.state is SignalState.DEGRADED else logging.INFO
            extra = {"state": signal.state, "reason": signal.reason, "detail": signal.message}
            _log.log(level, "GPUs are read in another way", extra=extra)
        self._signal = signal
