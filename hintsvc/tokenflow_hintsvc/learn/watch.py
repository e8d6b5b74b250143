"""Decides when a model must stand back, and when it may come again."""

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.learn.drift import LEAST_ROWS, distance
from tokenflow_hintsvc.learn.inputs import GENERAL
from tokenflow_hintsvc.learn.model import Model
from tokenflow_hintsvc.learn.series import Floats

STRIKES: Final = 3
"""Looks in a row that find trouble, before the model stands back."""
CALM: Final = 10
"""Looks in a row that find none, before it comes again."""
INDIFFERENT_US: Final = 1000.0
"""Error beyond the baseline's that moves no rate: targets begin at a hundred times as much."""
_ROWS: Final = 3000
_CALMER: Final = 0.8
"""Share of the limits that it must be below to come again."""


class Watch:
    """Looks again and again at what a model sees and how wrong it is.

    Attributes:
        drifted: whether the model stands back.
        reason: why; empty while it does not.
    """

    def __init__(self) -> None:
        self.drifted = False
        self.reason = ""
        self._seen: deque[NDArray[np.float32]] = deque(maxlen=_ROWS)
        self._streak = 0

    def look(
        self, model: Model, general: NDArray[np.float32], errors_us: tuple[float, float] | None, residuals: Floats
    ) -> None:
        """Take in what the model saw, and judge; some milliseconds of work.

        Args:
            model: that is watched.
            general: newest inputs, shape ``(rows, len(GENERAL))``.
            errors_us: mean absolute error of late, of the model and of the baseline.
            residuals: logarithms of outcome to median, of late.
        """
        self._seen.extend(general)
        trouble = self._trouble(model, errors_us, residuals, share=_CALMER if self.drifted else 1.0)
        turning = not trouble if self.drifted else bool(trouble)
        self._streak = self._streak + 1 if turning else 0
        if trouble and self.drifted:
            self.reason = trouble
        if self._streak >= (CALM if self.drifted else STRIKES):
            self.drifted = not self.drifted
            self.reason = trouble
            self._streak = 0

    def _trouble(self, model: Model, errors_us: tuple[float, float] | None, residuals: Floats, *, share: float) -> str:
        if errors_us is not None and len(residuals) >= LEAST_ROWS:
            mine, baseline = errors_us
            if mine > baseline + share * INDIFFERENT_US:
                return f"its error of {mine:.0f} us is worse than the baseline's of {baseline:.0f} us"
            if distance(model.residuals, residuals).exceeds(share):
                return "its errors are no longer those that it was judged by"
        if len(self._seen) >= LEAST_ROWS:
            seen = np.array(self._seen)
            for name, reference, column in zip(GENERAL, model.reference, np.nan_to_num(seen.T), strict=True):
                if distance(reference, column).exceeds(share):
                    return f"input {name} is no longer as in training"
        return ""
