"""Whether the sources of streams still speak: what tells an outage of the network from one of the hint service."""

import threading
import time
from collections.abc import Callable


class Sources:
    """The streams that wait for their source, after its first item; they may be of several threads.

    Before the first item a source may think as long as it likes: models do.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = 0.0

    @property
    def silent_s(self) -> float:
        """Seconds that no source has spoken for while somebody waited; 0 where nobody waits."""
        return self._clock() - self._since if self._waiting else 0.0

    def waits(self) -> None:
        """Note that a stream begins to wait for its next item."""
        with self._lock:
            if not self._waiting:
                self._since = self._clock()
            self._waiting += 1

    def heard(self) -> None:
        """Note that a source spoke or ended, or that nobody waits for it any longer."""
        with self._lock:
            self._waiting -= 1
            self._since = self._clock()
