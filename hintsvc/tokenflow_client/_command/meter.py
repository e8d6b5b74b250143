"""What a reader of one answer sees of its stream while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenflow_api.hints import Hint
from tokenflow_client._command import measures
from tokenflow_client._command.completion import Piece
from tokenflow_client._command.counting import arrivals

_RECENT_S: Final = 3.0
_UNTOLD: Final = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the gateway and the hint service say of a stream; words for people.

    Attributes:
        rate: tokens per second that the stream may have.
        batch: tokens in one event.
        state: of its path.
    """

    rate: str = _UNTOLD
    batch: str = _UNTOLD
    state: str = _UNTOLD

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Told":
        """Return what the headers of an answer say, which holds for its start."""
        return cls(
            rate=headers.get("x-tokenflow-rate", _UNTOLD),
            batch=headers.get("x-tokenflow-batch", _UNTOLD),
            state=headers.get("x-tokenflow-state", _UNTOLD),
        )

    @classmethod
    def by(cls, hint: Hint) -> "Told":
        """Return what a hint says, which is newer."""
        return cls(rate=f"{hint.tokens_per_second:.1f}", batch=str(hint.batch_size), state=str(hint.state))


class Meter:
    """Measures one answer as it arrives.

    Args:
        start_s: when it was asked for.
        reading_rate: tokens per second at which it is read.
    """

    def __init__(self, *, start_s: float, reading_rate: float) -> None:
        self._start_s = start_s
        self._reading_rate = reading_rate
        self._pieces: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Take in what arrived."""
        self._pieces.append(piece)

    def live(self, *, now_s: float, told: Told, rtt_us: int | None) -> str:
        """Return the status of a stream that runs."""
        came = arrivals(self._pieces)
        since_s = max(self._start_s, now_s - _RECENT_S)
        recent = sum(arrival.tokens for arrival in came if arrival.at_s >= since_s)
        rate = recent / (now_s - since_s) if now_s > since_s else 0.0
        stalls = measures.stalls(came, rate=self._reading_rate, end_s=now_s)
        rtt = _UNTOLD if rtt_us is None else f"{rtt_us / 1000:.2f} ms"
        return (
            f"{rate:.1f} tokens/s of {told.rate} | batch {told.batch} | {told.state}"
            f" | {stalls.count} stalls, {stalls.waited_s:.1f} s | RTT {rtt}"
        )

    def whole(self, *, rtt_us: int | None) -> str:
        """Return the figures of a stream that has ended."""
        came = arrivals(self._pieces)
        first_s = measures.first_token(came, start_s=self._start_s)
        if first_s is None:
            return "no tokens"
        tokens = sum(arrival.tokens for arrival in came)
        seconds = came[-1].at_s - self._start_s
        stalls = measures.stalls(came, rate=self._reading_rate)
        rtt = "" if rtt_us is None else f", RTT {rtt_us / 1000:.2f} ms"
        return (
            f"{tokens} tokens in {seconds:.1f} s, first after {first_s:.2f} s,"
            f" {stalls.count} stalls, {stalls.waited_s:.1f} s{rtt}"
        )
