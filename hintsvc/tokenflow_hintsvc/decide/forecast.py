"""What a learned model expects of a path, and how far that may move its rate."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from tokenflow_hintsvc.decide.figures import clip


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The mean round-trip time over the next ten windows, in microseconds, as quantiles.

    Attributes:
        p10_us: nine in ten outcomes lie above it.
        p50_us: the median.
        p90_us: nine in ten outcomes lie below it.
        anomaly: how strange the last window looks, 0 (as in training) to 1.
        version: of the model.
    """

    p10_us: float
    p50_us: float
    p90_us: float
    anomaly: float
    version: str


MOST_SHARE: Final = 0.2
"""How far a model may move a rate, either way."""


def nudge(forecast: Forecast, *, baseline_us: float, target_s: float) -> float:
    """Return what to multiply a rate by, 0.8 to 1.2.

    Less than 1 where the median outcome is a queue above the target; more than 1 where even the ninth decile stays
    below half of it, and the window looks like those that the model was trained on. A forecast that is no number moves
    nothing.

    Args:
        forecast: what the model expects.
        baseline_us: round-trip time without a queue, in microseconds.
        target_s: queue delay that the law settles at.
    """
    if not all(map(isfinite, (forecast.p50_us, forecast.p90_us, forecast.anomaly))):
        return 1.0
    likely = (forecast.p50_us - baseline_us) / 1e6 / target_s
    if likely > 1:
        return 1 - MOST_SHARE * min(1.0, likely - 1)
    at_worst = (forecast.p90_us - baseline_us) / 1e6 / target_s
    headroom = clip(1 - 2 * at_worst, 0.0, 1.0)
    return 1 + MOST_SHARE * headroom * (1 - clip(forecast.anomaly, 0.0, 1.0))
