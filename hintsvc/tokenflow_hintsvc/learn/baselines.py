"""Forecasts that need no model: what a model has to beat."""

from typing import Final

import numpy as np

from tokenflow_hintsvc.learn.inputs import quantiles
from tokenflow_hintsvc.learn.series import Floats

MEDIAN: Final = "median-of-last-ten"
LAST: Final = "last-value"
_SPAN: Final = 10


def baselines(history_us: Floats) -> dict[str, Floats]:
    """Return what each baseline expects of every one of the next windows, microseconds, each of shape ``(rows,)``.

    Args:
        history_us: mean round-trip times, shape ``(rows, windows)``, oldest first, NaN where idle.
    """
    known = ~np.isnan(history_us)
    newest = history_us.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    last = np.take_along_axis(history_us, newest[:, None], axis=1)[:, 0]
    median = quantiles(history_us[:, -_SPAN:], (0.5,))[:, 0]
    return {MEDIAN: np.where(np.isnan(median), last, median), LAST: last}
