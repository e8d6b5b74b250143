"""A stream with a clock that only moves when told, and made-up ends."""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tokenflow_api.hints import Hint, PathState, Source
from tokenflow_api.modes import Mode
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.stream.deadlines import Patience
from tokenflow_gateway.stream.guide import Guide, Told
from tokenflow_gateway.stream.limits import Limits
from tokenflow_gateway.stream.meters import Meter
from tokenflow_gateway.stream.opening import Opening
from tokenflow_gateway.stream.paced import PacedStream
from tokenflow_gateway.stream.relief import Load
from tokenflow_gateway.stream.routes import Route
from tokenflow_gateway.stream.wheel import Wheel
from tokenflow_gateway.upstream.call import BodySink, Head

ROUTE = Route("gold", "llama", "192.0.2.0/24")
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
LIMITS = Limits(
    enforce=True, least=5.0, most=80.0, fallback=20.0, target_s=0.5, batch_size=16, batch_delay_s=0.25, loss=0.02
)
PATIENCE = Patience(first_token=60.0, between_tokens=30.0, total=600.0)
DONE = b"data: [DONE]\n\n"
ROLE = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n'


def event(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def chunk(delta: Mapping[str, object], *, index: int = 0, **others: object) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | others
    )


def token(text: str, *, index: int = 0, **others: object) -> bytes:
    return chunk({"content": text}, index=index, **others)


def hint(rate: float, *, batch: int = 1, delay_ms: int = 0) -> Told:
    return Told(
        hint=Hint(
            tenant="gold",
            tokens_per_second=rate,
            batch_size=batch,
            batch_delay_ms=delay_ms,
            health=1.0,
            state=PathState.CLEAR,
            source=Source.LIVE,
            mode=Mode.ENFORCE,
        )
    )


class Clock:
    """A clock with timers, which runs when told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[FakeHandle] = []

    def __call__(self) -> float:
        return self.now

    def call_at(self, at: float, run: Callable[[], None]) -> "FakeHandle":
        handle = FakeHandle(at, run)
        self._timers.append(handle)
        return handle

    @property
    def armed(self) -> int:
        return sum(not timer.cancelled for timer in self._timers)

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        end = self.now + seconds
        while due := [timer for timer in self._timers if not timer.cancelled and timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            self._timers.remove(first)
            self.now = max(self.now, first.at)
            first.run()
        self.now = end


def idle(clock: Clock) -> Load:
    """Return the load of a gateway that has nothing else to do."""
    return Load(clock=clock, cpu=lambda: 0.0)


@dataclass(eq=False)
class FakeHandle:
    at: float
    run: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeCall:
    """An upstream that says what it is told to; while it is not read, it waits."""

    def __init__(self) -> None:
        self.paused = False
        self.cancelled = False
        self.error: GatewayError | None = None
        self.reads = 0
        self._sink: BodySink | None = None
        self._waiting: list[bytes | GatewayError | None] = []

    def say(self, *said: bytes | GatewayError | None) -> None:
        """Send bytes, the end (``None``) or a failure."""
        self._waiting += said
        self._deliver()

    async def head(self, *, within_s: float) -> Head:
        raise NotImplementedError

    async def begin(self, *, within_s: float) -> Head:
        raise NotImplementedError

    async def read(self, *, most: int, within_s: float) -> bytes:
        raise NotImplementedError

    def pipe(self, sink: BodySink) -> None:
        self._sink = sink
        self._deliver()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._deliver()

    def read_waiting(self) -> bool:
        before = self.reads
        self._hand_over()
        return self.reads > before

    def cancel(self) -> None:
        self.cancelled = True
        self._sink = None

    def _deliver(self) -> None:
        while self._waiting and not self.paused and not self.cancelled and self._sink:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._sink and self._waiting:
            self.reads += 1
            waiting, self._waiting = self._waiting, []
            # One read brings all that is there.
            self._sink.feed(b"".join(said for said in waiting if isinstance(said, bytes)))
            for said in waiting:
                if not self.cancelled and not isinstance(said, bytes):
                    self._sink.end(said)


class FakeAnswer:
    """A reader who takes everything at once, until told not to."""

    def __init__(self, clock: Clock, *, sock: socket.socket | None = None) -> None:
        self.writes: list[tuple[float, bytes]] = []
        self.writes_flushed: list[int] = []
        self.finished = False
        self.flowing = True
        self.started = True
        self.socket = sock
        self._clock = clock
        self._flowed: Callable[[], None] = lambda: None
        self._left: Callable[[], None] = lambda: None

    @property
    def got(self) -> bytes:
        return b"".join(data for _, data in self.writes)

    @property
    def waiting_bytes(self) -> int:
        return 0

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        assert not self.finished
        self.writes.append((self._clock(), data))

    def flush(self) -> None:
        self.writes_flushed.append(len(self.writes))

    def finish(self) -> None:
        assert not self.finished
        self.finished = True

    def abort(self) -> None:
        raise NotImplementedError

    def keep_waiting_here(self, *, unsent_bytes: int) -> None:
        pass

    def on_flow(self, flowed: Callable[[], None]) -> None:
        self._flowed = flowed

    def on_left(self, left: Callable[[], None]) -> None:
        self._left = left

    def flow(self) -> None:
        self.flowing = True
        self._flowed()

    def leave(self) -> None:
        self._left()


@dataclass
class Counted:
    sends: list[tuple[int, int, float]] = field(default_factory=list)

    def sent(self, tokens: int, size: int, now: float) -> None:
        self.sends.append((tokens, size, now))


@dataclass
class Setup:
    """One stream from end to end."""

    limits: Limits = LIMITS
    told: Told = field(default_factory=Told)
    patience: Patience = PATIENCE
    wants_usage: bool = False
    clock: Clock = field(default_factory=Clock)
    call: FakeCall = field(default_factory=FakeCall)
    progress: Counted = field(default_factory=Counted)

    def __post_init__(self) -> None:
        self.answer = FakeAnswer(self.clock)
        self.wheel = Wheel(clock=self.clock, call_at=self.clock.call_at)
        self.guide = Guide(
            limits=lambda: self.limits, told=lambda _: self.told, clock=self.clock, load=idle(self.clock)
        )

    def opening(self) -> Opening:
        return Opening(
            call=self.call,
            answer=self.answer,
            route=ROUTE,
            trace_id=TRACE_ID,
            patience=self.patience,
            progress=self.progress,
            wants_usage=self.wants_usage,
            started=self.clock(),
        )

    def begin(self, *, meter: Meter | None = None) -> PacedStream:
        stream = PacedStream(self.opening(), wheel=self.wheel, guide=self.guide, meter=meter)
        stream.start()
        return stream
