"""What a model sees of a path: only windows that are over, and only ratios.

All values are logarithms of round-trip times, less that of the path's level, the median of the last thirty windows.
So a model learns shapes that hold for a path of 1 ms as for one of 100 ms. On the telemetry that this was built on,
throughput, minimum and 95th percentile of the windows bettered no forecast.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.learn.series import Floats

STEPS: Final = 10
"""Windows ahead."""
HISTORY: Final = 100
"""Windows back."""
LEAST_KNOWN: Final = 10
"""Of the last ``_LEVEL`` windows, so many must not have been idle."""
_LEVEL: Final = 30
_LAGS: Final = 6
_SPANS: Final = (5, 10, 30, 100)
_QUARTILES: Final = (0.25, 0.5, 0.75)
_SEASON: Final = (10, 11, 20, 21, 22)
"""How many windows before the forecast one: traffic often comes in beats."""
_SEASONS: Final = (*_SEASON, 31, 32, 41, 42, 43, 52, 53)

GENERAL: Final = (
    *(f"window-{lag}" for lag in range(_LAGS)),
    *(f"{what}-{span}" for span in _SPANS for what in ("q25", "q50", "q75", "mean")),
)
"""Names of the inputs that are the same for all steps."""
NAMES: Final = (*GENERAL, *(f"season-{lag}" for lag in _SEASON), "seasons", "step")
"""Names of all inputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a model sees of some histories.

    Attributes:
        level_us: median of the last thirty windows, microseconds, shape ``(rows,)``; NaN where too few are known.
        values: shape ``(rows, STEPS, len(NAMES))``; NaN where nothing is known.
    """

    level_us: Floats
    values: NDArray[np.float32]


def inputs(history_us: Floats) -> Inputs:
    """Return what a model sees.

    Args:
        history_us: mean round-trip times, shape ``(rows, HISTORY)``, oldest first, NaN where idle or not known.
    """
    logs = np.log(history_us)
    level = quantiles(logs[:, -_LEVEL:], (0.5,))[:, 0]
    level[np.isfinite(logs[:, -_LEVEL:]).sum(axis=1) < LEAST_KNOWN] = np.nan
    logs = logs - level[:, None]
    columns = [logs[:, -1 - lag] for lag in range(_LAGS)]
    for span in _SPANS:
        columns += [*quantiles(logs[:, -span:], _QUARTILES).T, _means(logs[:, -span:])]
    general = np.column_stack(columns)
    values = np.empty((len(logs), STEPS, len(NAMES)), dtype=np.float32)
    values[:, :, : len(GENERAL)] = general[:, None, :]
    for step in range(1, STEPS + 1):
        own = values[:, step - 1, len(GENERAL) :]
        for at, lag in enumerate(_SEASON):
            own[:, at] = logs[:, step - lag - 1]
        own[:, -2] = _means(np.column_stack([logs[:, step - lag - 1] for lag in _SEASONS]))
        own[:, -1] = step
    return Inputs(level_us=np.exp(level), values=values)


def histories(rtt_us: Floats) -> Floats:
    """Return the history at the end of each window of a path, shape ``(windows, HISTORY)``."""
    padded = np.concatenate([np.full(HISTORY - 1, np.nan), rtt_us])
    return np.lib.stride_tricks.sliding_window_view(padded, HISTORY)


def quantiles(rows: Floats, shares: tuple[float, ...]) -> Floats:
    """Return quantiles of each row's known values, shape ``(rows, shares)``; NaN where none is known."""
    ordered = np.sort(rows, axis=1)
    places = np.maximum((~np.isnan(rows)).sum(axis=1) - 1, 0)[:, None] * np.array(shares)
    below = np.floor(places).astype(np.intp)
    above = np.ceil(places).astype(np.intp)
    low, high = np.take_along_axis(ordered, below, axis=1), np.take_along_axis(ordered, above, axis=1)
    between: Floats = low + (high - low) * (places - below)
    return between


def _means(rows: Floats) -> Floats:
    known = ~np.isnan(rows)
    sums = np.where(known, rows, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    means: Floats = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    return means
