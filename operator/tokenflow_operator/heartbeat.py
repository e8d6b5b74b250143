"""Whether the operator still works, judged by what it did and not by whether it can answer a probe."""

import time
from collections.abc import Callable
from typing import Final

ALIVE_S: Final = 120.0
READY_S: Final = 90.0


class Heartbeat:
    """When the last pass and the last successful listing of all resources ended.

    A pass counts even if it failed: restarting does not help against an API server that is away.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._passed_at = clock()
        self._synced_at: float | None = None

    def passed(self) -> None:
        """Say that a pass or a resync ended, well or not."""
        self._passed_at = self._clock()

    def synced(self) -> None:
        """Say that all resources were listed."""
        self._synced_at = self._clock()

    @property
    def alive(self) -> bool:
        """Whether something ended lately: a resync does so twice a minute, even with nothing to do."""
        return self._clock() - self._passed_at < ALIVE_S

    @property
    def ready(self) -> bool:
        """Whether the resources could be listed lately."""
        return self._synced_at is not None and self._clock() - self._synced_at < READY_S
