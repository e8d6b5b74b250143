"""What a learned model expects of a path."""

from dataclasses import dataclass


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
