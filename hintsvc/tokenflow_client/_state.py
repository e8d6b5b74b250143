"""What streams go by at a moment, and why."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tokenflow_api.drift import DRIFT_S, EXPIRED, drifted
from tokenflow_api.hints import Hint, Source
from tokenflow_client._breaker import Circuit
from tokenflow_client._pacer import Pace

OUTAGE_S: Final = 2.0
"""Silence of all sources, with the hint service out of reach, that is taken for an outage of the network."""


class State(StrEnum):
    """What the rate comes from."""

    CONNECTING = "Connecting"
    """No hint has come yet; the fallback holds."""
    LIVE = "Live"
    """A hint that may be trusted."""
    DRIFTING = "Drifting"
    """A hint that nobody renewed within its time, here or in the hint service; the rate moves to the fallback."""
    FALLBACK = "Fallback"
    """There never was a hint, or the last has drifted all the way, or the hint service has nothing to go by."""
    PAUSED = "Paused"
    """The network is out: neither the hint service nor any source speaks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What streams go by at present.

    Attributes:
        state: what the rate comes from.
        reason: why it is not ``Live``, in words; empty where it is.
        tokens_per_second: rate of one stream.
        hint: the newest, as it has drifted; ``None`` where there never was one.
        age_s: seconds since it arrived.
        circuit: whether the hint service is asked.
    """

    state: State
    reason: str
    tokens_per_second: float
    hint: Hint | None
    age_s: float | None
    circuit: Circuit

    @property
    def pace(self) -> Pace:
        """How streams run."""
        if self.hint is None:
            return Pace(tokens_per_second=self.tokens_per_second)
        return Pace(
            tokens_per_second=self.tokens_per_second,
            batch_size=self.hint.batch_size,
            batch_delay_s=self.hint.batch_delay_ms / 1000,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A hint as it arrived.

    Attributes:
        hint: as it was told.
        tokens_per_second: its rate, smoothed.
        ttl_s: seconds that it may be trusted.
        received_at: when it arrived, by the monotonic clock.
    """

    hint: Hint
    tokens_per_second: float
    ttl_s: float
    received_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How the hint service and the sources are doing.

    Attributes:
        circuit: of the hint service.
        heard: whether the hint service spoke within ``OUTAGE_S``.
        trouble: what went wrong last, in words; empty where nothing did.
        silent_s: seconds that no source has spoken for.
    """

    circuit: Circuit
    heard: bool
    trouble: str
    silent_s: float


def judge(known: Known | None, reach: Reach, *, now: float, fallback: float) -> Status:
    """Return what streams go by at ``now``.

    Args:
        known: the newest hint.
        reach: of the hint service and the sources.
        now: by the clock of ``Known.received_at``.
        fallback: tokens per second where nothing is known.
    """
    hint = None
    rate = fallback
    age_s = None
    if known is not None:
        age_s = now - known.received_at
        smooth = known.hint.model_copy(update={"tokens_per_second": known.tokens_per_second})
        hint = drifted(smooth, age_s=age_s, ttl_s=known.ttl_s, fallback=fallback)
        rate = hint.tokens_per_second
    state, reason = _state(known, reach, age_s=age_s)
    return Status(state=state, reason=reason, tokens_per_second=rate, hint=hint, age_s=age_s, circuit=reach.circuit)


def _state(known: Known | None, reach: Reach, *, age_s: float | None) -> tuple[State, str]:
    if reach.silent_s >= OUTAGE_S and not reach.heard:
        return State.PAUSED, f"the network is out: no source has spoken for {reach.silent_s:.0f} s; {reach.trouble}"
    if known is None or age_s is None:
        return (State.FALLBACK, reach.trouble) if reach.trouble else (State.CONNECTING, "no hint has come yet")
    if age_s <= known.ttl_s:
        if known.hint.source is Source.FALLBACK:
            drifting = EXPIRED in known.hint.reasons
            return (
                State.DRIFTING if drifting else State.FALLBACK,
                f"the hint service says {', '.join(known.hint.reasons)}",
            )
        return State.LIVE, ""
    reason = reach.trouble or "the hint service tells nothing new"
    return (State.DRIFTING if age_s < known.ttl_s + DRIFT_S else State.FALLBACK), reason
