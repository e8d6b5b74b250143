"""Batches all streams a little when the gateway itself has much to do: each event costs it a write."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HIGH: Final = 0.4
"""Use of a core above which batches grow."""
LOW: Final = 0.25
"""Use of a core below which they shrink: well below the first, since batches themselves lower it."""
SPAN_S: Final = 1.0
"""Time that the use is averaged over."""
_GROW: Final = 1.7
"""Growth for each core above ``HIGH``: a gateway that has no time left is relieved as far as may be at once."""
_SHRINK: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Relief:
    """How far all streams are batched for the gateway's own sake.

    Attributes:
        share: of the longest delay that a token may wait for its batch, 0 to 1.
    """

    share: float = 0.0

    def next(self, load: float) -> "Relief":
        """Return the relief after another ``SPAN_S`` at a use of so much of a core: fast to come, slow to go."""
        if load > HIGH:
            return Relief(share=min(1.0, self.share + _GROW * (load - HIGH)))
        if load < LOW:
            return Relief(share=max(0.0, self.share - _SHRINK))
        return self


class Load:
    """Follows the use of the processor by this process.

    Args:
        clock: monotonic, in seconds.
        cpu: time that the process used, in seconds.

    Attributes:
        relief: that it calls for.
    """

    def __init__(self, *, clock: Callable[[], float], cpu: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._cpu = cpu
        self._since, self._used = clock(), cpu()
        self.relief = Relief()

    def look(self) -> None:
        """Take in what was used, if ``SPAN_S`` have gone by."""
        now = self._clock()
        took = now - self._since
        if took < SPAN_S:
            return
        used = self._cpu()
        self.relief = self.relief.next((used - self._used) / took)
        self._since, self._used = now, used
