"""Health from 0 (useless) to 1 (well), and which signals moved it.

Health is the product of one factor per signal, so that it never rises when a signal gets worse. A factor follows
its signal by half of the way in each window. A signal that went missing keeps the factor that it had, and its
doubt grows instead: what nobody measures may have got worse, and cannot be said to have got better. The factor of
a signal that nobody ever measured is 1, and its doubt too.

Numbers move smoothly; words do not flap: a signal is named as a reason after some windows in a row beyond its
threshold, and no more after some in a row that are clearly within it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Final

from tokenflow_api.hints import Term
from tokenflow_hintsvc.decide.terms import Reading

SMOOTHING: Final = 0.5
"""Weight of a new window."""

ENTER_WINDOWS: Final = 2
LEAVE_WINDOWS: Final = 3
LEAVE_SHARE: Final = 0.9
"""Share of its threshold that a signal must stay below to be named no more."""

_NEARLY_ONE: Final = 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalState:
    """What is remembered of a signal.

    Attributes:
        value: of the last window; ``None`` where nobody measured it.
        threshold: up to which it does no harm.
        factor: what it multiplies the health by.
        doubt: 0 where it was just measured, 1 where it never or no longer is.
        acting: whether it is named as a reason.
        streak: windows in a row that spoke for the other answer.
    """

    value: float | None = None
    threshold: float = 0.0
    factor: float = 1.0
    doubt: float = 1.0
    acting: bool = False
    streak: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of all signals of one thing, by their names."""

    signals: Mapping[str, SignalState] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Health, 0 to 1."""
        return prod(state.factor for state in self.signals.values())

    @property
    def uncertainty(self) -> float:
        """How much of it nobody measured, 0 to 1; 1 where nothing is known at all."""
        return sum(state.doubt for state in self.signals.values()) / len(self.signals) if self.signals else 1.0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Names of the signals that hold it down."""
        return tuple(name for name, state in self.signals.items() if state.acting)

    def terms(self) -> list[Term]:
        """Return what each signal did to it."""
        return [_term(name, state) for name, state in self.signals.items()]

    def moving_terms(self) -> list[Term]:
        """Return what those signals did that did anything."""
        return [_term(name, state) for name, state in self.signals.items() if state.factor < 1]


def judge(before: Health, readings: Sequence[Reading]) -> Health:
    """Take in one window. Signals that no reading speaks of are forgotten."""
    return Health(
        {reading.signal: _next(before.signals.get(reading.signal, SignalState()), reading) for reading in readings}
    )


def unseen(health: Health) -> Health:
    """Return what is left of a health of which nobody says anything any more: the same, in full doubt."""
    return Health({name: replace(state, value=None, doubt=1.0) for name, state in health.signals.items()})


def _next(state: SignalState, reading: Reading) -> SignalState:
    factor = reading.factor
    if reading.value is None or factor is None:
        return SignalState(
            threshold=reading.threshold,
            factor=state.factor,
            doubt=state.doubt + SMOOTHING * (1 - state.doubt),
            acting=state.acting,
            streak=state.streak,
        )
    smoothed = state.factor + SMOOTHING * (factor - state.factor)
    acting, streak = _named(state, reading.value, reading.threshold)
    return SignalState(
        value=reading.value,
        threshold=reading.threshold,
        factor=1.0 if smoothed > _NEARLY_ONE else smoothed,
        doubt=0.0,
        acting=acting,
        streak=streak,
    )


def _named(state: SignalState, value: float, threshold: float) -> tuple[bool, int]:
    if state.acting:
        streak = state.streak + 1 if value <= LEAVE_SHARE * threshold else 0
        return (False, 0) if streak >= LEAVE_WINDOWS else (True, streak)
    streak = state.streak + 1 if value > threshold else 0
    return (True, 0) if streak >= ENTER_WINDOWS else (False, streak)


def _term(name: str, state: SignalState) -> Term:
    return Term(signal=name, value=state.value, threshold=state.threshold, factor=state.factor)
