"""Health of a path, from 0 (useless) to 1 (well).

Each term is 1 up to its threshold and falls as the reciprocal beyond it, so that health never rises when an
input gets worse. A term without a measurement is left out, never counted as good or bad.
"""

from typing import Final

RTT_FLOOR_US: Final = 10_000.0
"""Added to both sides of the inflation: on a path of 0.1 ms a jump to 0.3 ms is noise, not congestion."""

SMOOTHING: Final = 0.5
"""Weight of a new window, against flapping."""


def inflation(*, rtt_us: float, baseline_us: float) -> float:
    """Return how many times the round-trip time stands above its baseline, damped for short paths; at least 1."""
    return max(1.0, (rtt_us + RTT_FLOOR_US) / (baseline_us + RTT_FLOOR_US))


def health(
    *, rtt_inflation: float | None, retransmit_ratio: float | None, inflation_threshold: float, loss_threshold: float
) -> float:
    """Return the health that the measurements speak of, from 0 to 1.

    Args:
        rtt_inflation: see ``inflation``; ``None`` where unknown.
        retransmit_ratio: share of segments sent again; ``None`` where unknown.
        inflation_threshold: inflation above which a path is congested, more than 1.
        loss_threshold: retransmit ratio above which a path is lossy, more than 0.
    """
    score = 1.0
    if rtt_inflation is not None and rtt_inflation > inflation_threshold:
        score *= inflation_threshold / rtt_inflation
    if retransmit_ratio is not None and retransmit_ratio > loss_threshold:
        score *= loss_threshold / retransmit_ratio
    return score


def smoothed(previous: float, current: float) -> float:
    """Return the health to report after a new window."""
    return previous + SMOOTHING * (current - previous)
