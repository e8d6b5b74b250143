"""Carries one stream from its upstream to its reader."""

import asyncio
from math import inf
from typing import Final

from tokenflow_gateway.errors import GatewayError, UpstreamBrokeOffError
from tokenflow_gateway.stream.bounds import UNPACED
from tokenflow_gateway.stream.deadlines import HEARTBEAT_S, Limit, limit_of
from tokenflow_gateway.stream.deltas import DeltaReader, Run
from tokenflow_gateway.stream.endings import DrainingError, Ended, Why, last_words
from tokenflow_gateway.stream.events import EventCutter
from tokenflow_gateway.stream.guide import REFRESH_S, Guide
from tokenflow_gateway.stream.held import Held
from tokenflow_gateway.stream.laws import LEAVE_SHARE, SocketLaw, backlog_age_s, next_due
from tokenflow_gateway.stream.merge import merged
from tokenflow_gateway.stream.meters import Meter
from tokenflow_gateway.stream.opening import Opening
from tokenflow_gateway.stream.usage import Usage
from tokenflow_gateway.stream.view import StreamView
from tokenflow_gateway.stream.wheel import TICK_S, Timer, Wheel

UNSENT_BYTES: Final = 16 << 10
"""Bytes that the kernel may hold unsent per connection: the rest stays here, where it can still be merged."""
HEARTBEAT: Final = b": keep-alive\n\n"
PAUSE_S: Final = 0.02
"""Wait from which on the upstream is not read meanwhile: one read then brings what came, in one piece."""
LOOK_S: Final = 0.25
"""Between two looks at a connection that has a backlog, or had one of late."""
CALM_LOOK_S: Final = 1.0
"""Between two looks at any other."""
YOUNG_S: Final = 4.0
"""Age up to which a stream is looked at as if it had a backlog: a thin path shows at once."""
_EARLY_S: Final = 0.001
"""Resolution of the event loop's timers."""


class PacedStream:
    """Takes in an upstream's bytes, and sends them on in batches, at the pace that acts.

    The first token goes out at once, and so does every other one while the path is clear. In a congested path
    a batch goes out, the upstream is not read until the next one is due, and one read then brings several tokens:
    what is held stays small however slow the reader is, and the upstream meets a full connection.

    Args:
        opening: the stream.
        wheel: runs its timers.
        guide: says how it runs.
        meter: measures its connection; ``None`` where that is no TCP socket.

    Attributes:
        ended: done when the stream is at its end; never fails.
    """

    def __init__(self, opening: Opening, *, wheel: Wheel, guide: Guide, meter: Meter | None) -> None:
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.route = opening.route
        self.meter = meter
        self.tokens = 0
        self._opening = opening
        self._call = opening.call
        self._answer = opening.answer
        self._wheel = wheel
        self._clock = wheel.clock
        self._guide = guide
        self._cutter = EventCutter()
        self._reader = DeltaReader()
        self._held = Held()
        self._timer = Timer(self._wake)
        self._watch = Timer(self._look)
        self._law = SocketLaw()
        self._pace = UNPACED
        self._pace_until = -inf
        self._due = -inf
        self._heard = self._wrote = opening.started
        self._young_until = self._clock() + YOUNG_S
        self._drain_at: float | None = None
        self._paused = self._blocked = self._upstream_ended = self._over = False
        self._why = Why.COMPLETE
        self._error: GatewayError | None = None

    def start(self) -> None:
        """Begin: from now on ``ended`` tells of the end."""
        now = self._clock()
        self._answer.keep_waiting_here(unsent_bytes=UNSENT_BYTES)
        self._answer.on_flow(self._flowed)
        self._answer.on_left(self._left)
        self._refresh(now)
        self._call.pipe(self)
        # The first token leaves before anything else is seen to.
        self._answer.flush()
        if self._over:
            return
        if self.meter:
            self.meter.look(now, waiting_bytes=self._answer.waiting_bytes, held_bytes=0)
        self._wheel.schedule(self._watch, min(now + LOOK_S, self._limit().at, self._drain_at or inf))

    def drain(self, deadline: float) -> None:
        """Have the stream end by ``deadline``, of the wheel's clock: by itself, or with words how to go on."""
        self._drain_at = deadline
        self._wheel.schedule(self._watch, min(deadline, self._clock() + LOOK_S))

    def abandon(self) -> Ended:
        """End as if the reader had left, unless it has ended already; return how it ended."""
        self._left()
        return self.ended.result()

    def view(self) -> StreamView:
        """Return how the stream is doing."""
        return StreamView(
            route=self.route,
            pace=self._pace,
            queued_tokens=self._held.tokens,
            queued_bytes=self._held.size,
            unsent_bytes=self.meter.unsent_bytes if self.meter else self._answer.waiting_bytes,
            rtt_us=round(self.meter.rtt_us) if self.meter and self.meter.info else None,
            tokens=self.tokens,
            age_s=self._clock() - self._opening.started,
        )

    def feed(self, data: bytes) -> None:
        """Take in bytes of the upstream."""
        if self._over or self._upstream_ended:
            return
        try:
            self._take_in(data)
        except UpstreamBrokeOffError as error:
            self._give_up(error, why=Why.UPSTREAM_BROKE)
            return
        now = self._heard = self._clock()
        if self._timer.scheduled and self._waits_for_batch:
            if self._held.full:
                self._pause()
        elif self._held:
            self._pump(now)

    def end(self, error: GatewayError | None) -> None:
        """Take in the upstream's end."""
        if self._over or self._upstream_ended:
            return
        self._upstream_ended = True
        self._error = error
        self._why = Why.UPSTREAM_BROKE if error else Why.COMPLETE
        self._pump(self._clock())

    def _take_in(self, data: bytes) -> None:
        run = None if self._cutter.partial else self._reader.known(data)
        if run is not None:
            self._held.add(run)
            return
        for event in self._cutter.feed(data):
            piece = self._reader.read(event)
            if isinstance(piece, Run) or not piece.usage_only or self._opening.wants_usage:
                self._held.add(piece)

    @property
    def _waits_for_batch(self) -> bool:
        """Whether what is held may wait for more: the first token never does."""
        pace = self._pace
        return self.tokens > 0 and pace.batch_delay_s > 0 and self._held.tokens < pace.batch_size

    def _pump(self, now: float) -> None:
        """Send what is due, and see to it that the rest gets its turn."""
        sent = 0
        if self._held:
            if not self._answer.flowing:
                self._block(now)
                return
            # What waited as a batch goes as one, though the pace be another by now.
            size = self._pace.batch_size
            if now >= self._pace_until or self._blocked:
                self._refresh(now)
            self._blocked = False
            sent = self._send(now, size=max(size, self._pace.batch_size))
        if self._upstream_ended:
            if self._held:
                self._wheel.schedule(self._timer, self._due)
            else:
                self._finish()
            return
        self._wait(now, sent=sent)

    def _send(self, now: float, *, size: int) -> int:
        """Send the batches that are due, of ``size`` tokens at most, in one write; return their tokens."""
        held, rate = self._held, self._pace.tokens_per_second
        batches, sent = [], 0
        while held and (now + _EARLY_S >= self._due or held.free):
            before = held.tokens
            batches.append(merged(held.take(size)))
            tokens = before - held.tokens
            sent += tokens
            if tokens and rate is not None:
                self._due = next_due(self._due, tokens=tokens, at=now, tokens_per_second=rate)
        if batches:
            self._write(batches[0] if len(batches) == 1 else b"".join(batches), sent, now)
        return sent

    def _write(self, data: bytes, tokens: int, now: float) -> None:
        self._answer.write(data)
        self._wrote = now
        self.tokens += tokens
        if self.meter:
            self.meter.wrote(len(data), tokens=tokens)
        self._opening.progress.sent(tokens, len(data), now)

    def _wait(self, now: float, *, sent: int) -> None:
        """Have the stream looked at again when more is due; read on meanwhile only if that is soon."""
        pace, held = self._pace, self._held
        if sent and not held and self._waits_for_batch:
            wake = max(self._due, now + pace.batch_delay_s)
        elif held:
            wake = self._due
        else:
            self._resume()
            return
        self._wheel.schedule(self._timer, wake)
        if wake - now >= PAUSE_S or held.full:
            self._pause()

    def _wake(self) -> None:
        now = self._clock()
        if self._paused and not self._upstream_ended and self._waits_for_batch:
            if not self._call.read_waiting():
                self._resume()
                if self._held:
                    # What comes is read in a moment, and takes along what is held.
                    self._wheel.schedule(self._timer, now + TICK_S / 2)
                return
            if self._over or self._timer.scheduled:
                return
        self._pump(now)

    def _block(self, now: float) -> None:
        """Wait until the connection takes more."""
        self._pause()
        self._timer.cancel()
        if not self._blocked:
            self._blocked = True
            self._wheel.schedule(self._watch, min(now + LOOK_S, self._limit().at, self._drain_at or inf))

    def _flowed(self) -> None:
        if self._blocked and not self._over:
            self._pump(self._clock())

    def _left(self) -> None:
        if not self._over:
            self._close(Why.READER_LEFT)

    def _pause(self) -> None:
        if not self._paused and not self._upstream_ended:
            self._paused = True
            self._call.pause()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._heard = self._clock()
            self._call.resume()

    def _refresh(self, now: float) -> None:
        self._pace = self._guide.pace(self.route, self._law, held_back=self._blocked)
        self._pace_until = now + REFRESH_S

    def _limit(self) -> Limit:
        """Return when the stream will have taken too long."""
        opening = self._opening
        listening = not self._paused and not self._upstream_ended
        return limit_of(
            opening.patience,
            started=opening.started,
            heard=self._heard if self.tokens else None,
            listening=listening,
        )

    def _look(self) -> None:
        """Look at the connection and at the deadlines; again and again while the stream is open."""
        now = self._clock()
        limit = self._limit()
        if now + _EARLY_S >= limit.at:
            self._give_up(limit.error(self.route.upstream), why=Why.TIMED_OUT)
            return
        if self._drain_at is not None and now + _EARLY_S >= self._drain_at:
            self._give_up(DrainingError(tokens=self.tokens + self._held.tokens), why=Why.DRAINED)
            return
        if now - self._wrote >= HEARTBEAT_S and self._answer.flowing:
            self._write(HEARTBEAT, 0, now)
        busy = self._measure(now)
        again = now + (LOOK_S if busy else CALM_LOOK_S)
        self._wheel.schedule(self._watch, min(again, limit.at, self._drain_at or inf))

    def _measure(self, now: float) -> bool:
        """Take in what the connection says, and return whether there is a backlog to watch."""
        if self.meter is None:
            return False
        held = self._held.size if self._blocked else 0
        look = self.meter.look(now, waiting_bytes=self._answer.waiting_bytes, held_bytes=held)
        if look is None:
            return False
        limits = self._guide.socket_limits(self.route)
        before, self._law = self._law, self._law.next(look, limits)
        if self._law is not before:
            self._pace_until = now
        if self._law.batching:
            self._guide.strained(self.route, self._law.batching)
        if self._blocked or now < self._young_until or not self._law.forgiven or self._law.batching:
            return True
        return backlog_age_s(look) > LEAVE_SHARE * limits.target_s

    def _give_up(self, error: GatewayError, *, why: Why) -> None:
        """End the stream now: all that is held, and why there is no more."""
        self._why, self._error = why, error
        tokens = self._held.tokens
        if self._held:
            size = self._guide.limits_now().batch_size if self._pace is not UNPACED else 1
            batches = []
            while self._held:
                batches.append(merged(self._held.take(size)))
            self._write(b"".join(batches), tokens, self._clock())
        self._finish()

    def _finish(self) -> None:
        rest = self._cutter.rest()
        # Half an event would take the last words into itself.
        words = last_words(self._error, trace_id=self._opening.trace_id) if self._error else rest
        if words:
            self._answer.write(words)
        self._answer.finish()
        self._close(self._why)

    def _close(self, why: Why) -> None:
        self._over = True
        if not self._upstream_ended:
            self._call.cancel()
        if self.meter:
            whole = why is Why.COMPLETE
            self.meter.close(self._clock(), waiting_bytes=self._answer.waiting_bytes, whole=whole)
        self._let_go()
        usage = self._reader.usage or Usage(input_tokens=0, output_tokens=self.tokens, measured=False)
        if not self.ended.done():
            self.ended.set_result(Ended(why=why, tokens=self.tokens, usage=usage, error=self._error))

    def _let_go(self) -> None:
        """Have nothing that the stream refers to refer back, so that it is freed at once."""
        self._timer.close()
        self._watch.close()
        self._answer.on_flow(_nothing)
        self._answer.on_left(_nothing)


def _nothing() -> None:
    """Take in what no longer concerns a stream that has ended."""
