"""What a stream is like for its reader, counted while it runs.

A reader reads at a steady rate: each token takes a step of ``1 / rate``, and where the next one has not arrived they
wait. All of it is sums that one addition per write keeps up to date; a write costs about a microsecond.
"""

import math
from bisect import bisect_left
from typing import Final

from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.telling.promise import Promise, Verdict
from tokenflow_gateway.telling.readers import Readers

NOTICED_S: Final = 0.1
"""The shortest wait that a reader notices, so that it counts as a stall of its own."""
_TIE_S: Final = 1e-9
"""Sums of equal steps differ by rounding: a token is late only by more than this."""


class Progress:
    """One stream.

    Args:
        readers: figures of the tenant, kept up to date while the stream runs.
        received_at: when the request arrived, by the clock of ``sent``.
        promise: that was made to the reader.

    Attributes:
        tokens: sent so far.
        late: of them, those that came after they were due, as in the smooth goodput of arXiv 2410.14257.
        stalls: waits within the stream that are noticed.
        waited_s: of all waits within the stream.
    """

    __slots__ = (
        "_delay_s",
        "_due",
        "_first",
        "_last",
        "_promise",
        "_read_until",
        "_readers",
        "_received_at",
        "_step_s",
        "late",
        "stalls",
        "tokens",
        "waited_s",
    )

    def __init__(self, readers: Readers, *, received_at: float, promise: Promise) -> None:
        self._readers = readers
        self._received_at = received_at
        self._promise = promise
        self._step_s = 1 / promise.tokens_per_second
        self._due = received_at + promise.first_token_s
        self._first = self._last = self._read_until = math.nan
        self._delay_s = 0.0
        self.tokens = 0
        self.late = 0
        self.stalls = 0
        self.waited_s = 0.0

    def sent(self, tokens: int, size: int, now: float) -> None:
        """Count a write.

        Args:
            tokens: in it; 0 for what is no part of the answer.
            size: in bytes.
            now: when it was handed to the connection, in seconds.
        """
        readers = self._readers
        readers.bytes += size
        if not tokens:
            return
        readers.tokens += tokens
        before = self.tokens
        begun = now
        if before:
            gaps = readers.gaps
            gap = now - self._last
            gaps.counts[bisect_left(gaps.bounds, gap)] += 1
            gaps.total += gap
            wait = now - self._read_until
            if wait > 0:
                self._waited(wait)
            else:
                begun = self._read_until
            # The one with number i is due i steps after the first.
            late = math.ceil((now - self._first - _TIE_S) / self._step_s) - before
            if late > 0:
                self._came_late(min(late, tokens))
        else:
            self._first = now
            readers.first_token.add(now - self._received_at)
        lag = begun - self._due - before * self._step_s - _TIE_S
        if lag > 0:
            # All tokens of a write lag as far: they are expected, and read, step by step.
            self._delay_s += tokens * lag
        self._read_until = begun + tokens * self._step_s
        self._last = now
        self.tokens = before + tokens

    def end(self, why: Why, *, now: float) -> Verdict:
        """Judge the stream, once it is over."""
        readers = self._readers
        if why is not Why.COMPLETE and self.tokens and now > self._read_until:
            # More was to come.
            self._waited(now - self._read_until)
            self._read_until = now
        if self.tokens:
            readers.reading_s += self._read_until - self._first
            readers.quality.add(self.quality)
        return self._verdict(why)

    @property
    def first_token_s(self) -> float | None:
        """Seconds from the request to the first token; ``None`` while there is none."""
        return self._first - self._received_at if self.tokens else None

    @property
    def per_token_s(self) -> float | None:
        """Mean time between two tokens after the first; ``None`` while there are not two."""
        return (self._last - self._first) / (self.tokens - 1) if self.tokens > 1 else None

    @property
    def quality(self) -> float:
        """The quality of experience of Andes (arXiv 2404.16283): 1 for a stream as promised, 0 for none.

        It is ``1 - S_delay / S_whole``. The token with number i is expected at ``e_i = received + firstToken + i step``
        and read at ``r_i``, when it has arrived and the one before is read. ``S_delay`` is the sum of
        ``max(0, r_i - e_i)``, and ``S_whole`` that of ``E - e_i``, where E is the later of the last token's ``r`` and
        ``e``: the area under the expected timeline up to the end of the reading. What comes early earns nothing.
        """
        if not self.tokens:
            return 0.0
        if not self._delay_s:
            return 1.0
        expected_span = (self.tokens - 1) * self._step_s
        end = max(self._read_until - self._step_s, self._due + expected_span)
        whole = self.tokens * (end - self._due - expected_span / 2)
        return 1.0 - min(1.0, self._delay_s / whole)

    def _waited(self, wait_s: float) -> None:
        self.waited_s += wait_s
        self._readers.stalled_s += wait_s
        if wait_s >= NOTICED_S:
            self.stalls += 1
            self._readers.stalls += 1

    def _came_late(self, tokens: int) -> None:
        self.late += tokens
        self._readers.late_tokens += tokens

    def _verdict(self, why: Why) -> Verdict:
        if why is Why.READER_LEFT:
            return Verdict.LEFT
        if why is not Why.COMPLETE:
            return Verdict.BROKEN
        if self.tokens and self._first - self._due > _TIE_S:
            return Verdict.LATE_START
        return Verdict.LATE_TOKENS if self.late else Verdict.MET
