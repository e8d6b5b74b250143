"""Whose queue it is: that of the streams, or of others who share the path.

In front of a queue of the streams' own the path is busy with them: while it lasts as many of their bytes are delivered,
whatever they send. Where fewer are and the queue stays as long as it was, others fill it, such as downloads beside the
streams, and the streams would yield for nothing, down to the least rate. So each time that they send less, because of
batches, of a lower rate or because some have ended, tells whose it is. (Copa and Nimbus judge by what a change of their
own rate does to the queue: Arun and Balakrishnan, NSDI 2018; Goyal et al., SIGCOMM 2022.)
"""

from dataclasses import dataclass, replace
from typing import Final

_LESS: Final = 0.7
"""Share of what was delivered before from which it is less."""
_SAME: Final = 1.25
"""Factor within which a queue is as long as before. A path that slows down by so much less makes a queue of the
streams' own longer by more."""
_MOST_WINDOWS: Final = 8
"""Longest time between what is compared, beyond the queue: in more a path may have become another one."""
_MOST_TARGETS: Final = 8.0
"""Target delays that a queue of others may be long: behind a longer one losses take too many windows to tell."""
_MOST_GROWTH: Final = 2.0
"""Times what is put down to others that a queue may be long: beyond that the streams may have added to it."""
_MOST_MORE: Final = 4.0
"""Target delays that it may be longer."""
_SMOOTHED: Final = 0.5
"""Weight of one window: what is delivered in one alone varies with the batches that happen to fall into it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blame:
    """What is known of whose queue it is.

    Attributes:
        delivered: bytes per second of all streams, smoothed.
        windows: since ``queue_s`` and ``most`` count.
        queue_s: what the queue is compared with.
        most: what ``delivered`` is compared with.
        less: windows in a row that spoke for others: more of them tell than the queue is seconds long.
        others_s: queue that is put down to others; 0 where none is.
    """

    delivered: float = 0.0
    windows: int = 0
    queue_s: float = 0.0
    most: float = 0.0
    less: int = 0
    others_s: float = 0.0

    @property
    def others(self) -> bool:
        """Whether the queue is others'."""
        return self.others_s > 0

    def next(self, *, queue_s: float, delivered: float, target_s: float, lossy: bool) -> "Blame":
        """Take in one window of a congested path.

        Args:
            queue_s: how long a token waits.
            delivered: bytes per second of all streams.
            target_s: a shorter queue than this slows nobody, whoever's it is.
            lossy: whether packets were lost: what comes after them is acknowledged late, and all at once.
        """
        smoothed = self.delivered + _SMOOTHED * (delivered - self.delivered) if self.delivered else delivered
        if self.others and queue_s <= min(_MOST_GROWTH * self.others_s, self.others_s + _MOST_MORE * target_s):
            return replace(self, delivered=smoothed)
        same = self.queue_s / _SAME <= queue_s <= self.queue_s * _SAME
        if self.others or lossy or not same or smoothed > self.most or self.windows >= _MOST_WINDOWS + queue_s:
            # One window may have brought too much, and what is smoothed be of before the path slowed down.
            least = min(smoothed, delivered)
            return Blame(delivered=least, queue_s=queue_s, most=least)
        speaks = target_s < queue_s < _MOST_TARGETS * target_s and smoothed <= _LESS * self.most
        less = self.less + 1 if speaks else 0
        others_s = queue_s if less > queue_s + 1 else 0.0
        return replace(self, delivered=smoothed, windows=self.windows + 1, less=less, others_s=others_s)
