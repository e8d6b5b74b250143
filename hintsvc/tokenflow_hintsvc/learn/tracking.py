"""How good the forecasts were: each is compared with what came, and with what the baseline would have said."""

from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.decide.samples import PathKey
from tokenflow_hintsvc.learn.arms import Arm
from tokenflow_hintsvc.learn.baselines import MEDIAN, baselines
from tokenflow_hintsvc.learn.inputs import STEPS
from tokenflow_hintsvc.learn.series import Floats

_KEPT: Final = 3000
"""Newest outcomes that are judged by: of ten busy paths, five minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One window that came, and what was expected of it; errors in microseconds."""

    error_us: float
    baseline_error_us: float
    residual: float
    """Logarithm of the outcome's ratio to the median forecast."""


@dataclass(slots=True)
class _Pending:
    expected_us: Floats
    baseline_us: float
    passed: int = 0


class Tracker:
    """Compares forecasts with what came.

    One forecast of a path is followed at a time, over all its steps: none counts twice.
    """

    def __init__(self) -> None:
        self._pending: dict[PathKey, _Pending] = {}
        self._outcomes: deque[Outcome] = deque(maxlen=_KEPT)
        self._delays: dict[Arm, deque[float]] = {each: deque(maxlen=_KEPT) for each in Arm}

    def expect(self, keys: list[PathKey], medians_us: Floats, history_us: Floats) -> None:
        """Follow the forecasts of paths of which none is followed.

        Args:
            keys: the paths.
            medians_us: shape ``(paths, STEPS)``.
            history_us: what the forecasts were made of, shape ``(paths, HISTORY)``.
        """
        medians = baselines(history_us)[MEDIAN]
        for key, expected, baseline in zip(keys, medians_us, medians, strict=True):
            self._pending.setdefault(key, _Pending(expected, float(baseline)))

    def came(self, key: PathKey, rtt_us: float | None) -> None:
        """Take in the next window of a path; ``None`` where it was idle."""
        pending = self._pending.get(key)
        if pending is None:
            return
        expected = float(pending.expected_us[pending.passed])
        pending.passed += 1
        if pending.passed == STEPS:
            del self._pending[key]
        if rtt_us:
            self._outcomes.append(
                Outcome(
                    error_us=abs(expected - rtt_us),
                    baseline_error_us=abs(pending.baseline_us - rtt_us),
                    residual=float(np.log(rtt_us / expected)),
                )
            )

    def delayed(self, side: Arm, queue_us: float) -> None:
        """Take in a window's queueing delay, to compare the tenants that the model acts for with the others."""
        self._delays[side].append(queue_us)

    def forget(self, alive: AbstractSet[PathKey]) -> None:
        """Follow no more the forecasts of paths that are gone."""
        self._pending = {key: pending for key, pending in self._pending.items() if key in alive}

    @property
    def errors_us(self) -> tuple[float, float] | None:
        """Mean absolute error of the model and of the baseline; ``None`` before anything came."""
        if not self._outcomes:
            return None
        pairs = np.array([(each.error_us, each.baseline_error_us) for each in self._outcomes])
        model, baseline = pairs.mean(axis=0)
        return float(model), float(baseline)

    @property
    def residuals(self) -> NDArray[np.float64]:
        """Logarithms of outcome to median."""
        return np.array([each.residual for each in self._outcomes])

    def mean_delay_us(self, side: Arm) -> float | None:
        """Return the mean queueing delay of an arm; ``None`` where it had no window."""
        kept = self._delays[side]
        return sum(kept) / len(kept) if kept else None
