"""Whether the operator still works, judged by what it did and not by whether it can answer a probe."""

import time
from collections.abc import Callable
from typing import Final

ALIVE_S: Final = 150.0
READY_S: Final = 90.0


class Heartbeat:
    """When something last came to an end, and when the API last told what there is.

    An end counts even if it was a failure: restarting does not help against an API server that is away.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delay_s: Callable[[], float] = lambda: 0.0
        self._beat_at = clock()
        self._synced_at: float | None = None

    def expect(self, delay_s: Callable[[], float]) -> None:
        """Expect passes from now on: ``delay_s`` returns for how long one has been waited for."""
        since = self._clock()
        self._delay_s = lambda: min(delay_s(), self._clock() - since)

    def beat(self) -> None:
        """Say that a pass, a listing or a look for new kinds ended, well or not, or that a watch told something."""
        self._beat_at = self._clock()

    def synced(self) -> None:
        """Say that all kinds have been listed, and that the API answers."""
        self._synced_at = self._clock()

    @property
    def alive(self) -> bool:
        """Whether there was a beat lately, and no resource waits in vain.

        A watch tells something each minute, even with nothing to do.
        """
        return max(self._clock() - self._beat_at, self._delay_s()) < ALIVE_S

    @property
    def ready(self) -> bool:
        """Whether all is known of the cluster, and the API answered lately."""
        return self._synced_at is not None and self._clock() - self._synced_at < READY_S
