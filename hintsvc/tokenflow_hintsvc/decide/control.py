"""The control law of one path: from a window of measurements to a rate.

In a clear path streams run at the policy's maximum. A path whose queue delay stays high is congested: its
total rate then follows what is really delivered, a little more while the queue is short and a little less
while it is long, so that the queue settles at the target:

    R = D * (1 + k * clip((tau - q) / tau, -1, 1))

with D the delivered tokens per second, q the queue delay (round-trip time less its sliding minimum) and tau
the policy's target backlog. With a feedback delay d the loop is stable where k * d / tau < pi / 2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tokenflow_api.hints import PathState
from tokenflow_api.pacing_policy import Pacing, Thresholds
from tokenflow_api.quantities import seconds
from tokenflow_hintsvc.decide import health
from tokenflow_hintsvc.decide.samples import PathSample

GAIN: Final = 0.5
"""k of the law."""

BASELINE_MS: Final = 60_000
"""Width of the sliding minimum of the round-trip time. Longer than one would measure a path by, because the
law keeps a standing queue, and a short window would take that queue for the path itself."""

ENTER_WINDOWS: Final = 2
LEAVE_WINDOWS: Final = 3
ENTER_SHARE: Final = 0.5
"""Share of the target delay that a queue must exceed to be called congestion."""
LEAVE_SHARE: Final = 0.1
"""Share that it must stay below to be called gone: the serialisation of one packet keeps a thin link above it."""

LOSS_FACTOR: Final = 0.7
MOST_GROWTH: Final = 1.5
MOST_CUT: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The policy's numbers, in the units of the law.

    Attributes:
        least: least rate of a stream, tokens per second.
        most: greatest rate of a stream, tokens per second.
        target_s: queue delay to settle at.
        batch_delay_s: longest that a token may wait for its batch.
        batch_size: most tokens in a batch.
        inflation: round-trip inflation above which health falls.
        loss: retransmit ratio above which health falls.
    """

    least: float
    most: float
    target_s: float
    batch_delay_s: float
    batch_size: int
    inflation: float
    loss: float


def limits(pacing: Pacing, thresholds: Thresholds) -> Limits:
    """Return the limits that a policy sets."""
    return Limits(
        least=float(pacing.min_tokens_per_second),
        most=float(pacing.max_tokens_per_second),
        target_s=seconds(pacing.target_backlog),
        batch_delay_s=seconds(pacing.max_batch_delay),
        batch_size=pacing.max_batch_size,
        inflation=thresholds.rtt_inflation_percent / 100,
        loss=thresholds.retransmit_percent / 100,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PathControl:
    """What the law remembers of a path.

    Attributes:
        at_ms: start of the last window taken in.
        baselines: least round-trip time of each window still in the sliding minimum, by its start.
        state: clear or congested.
        streak: windows in a row that spoke for the other state.
        total: tokens per second of all streams together; only counts while congested.
        health: smoothed, 0 to 1.
        reasons: what moved it.
    """

    at_ms: int = 0
    baselines: Mapping[int, float] = field(default_factory=dict)
    state: PathState = PathState.CLEAR
    streak: int = 0
    total: float = 0.0
    health: float = 1.0
    reasons: tuple[str, ...] = ()


def step(control: PathControl, sample: PathSample, bounds: Limits) -> PathControl:
    """Take in one window; a window that was taken in before changes nothing."""
    if sample.at_ms <= control.at_ms:
        return control
    baselines = _slide(control, sample)
    base_us = min(baselines.values(), default=None)
    queue_s = None
    inflated = None
    if sample.rtt_us is not None and base_us is not None:
        queue_s = max(0.0, sample.rtt_us - base_us) / 1e6
        inflated = health.inflation(rtt_us=sample.rtt_us, baseline_us=base_us)
    now = health.health(
        rtt_inflation=inflated,
        retransmit_ratio=sample.retransmit_ratio,
        inflation_threshold=bounds.inflation,
        loss_threshold=bounds.loss,
    )
    state, streak = _gate(control, queue_s, bounds)
    lossy = (sample.retransmit_ratio or 0.0) > bounds.loss
    return PathControl(
        at_ms=sample.at_ms,
        baselines=baselines,
        state=state,
        streak=streak,
        total=_total(replace(control, state=state), sample, queue_s, lossy=lossy, bounds=bounds),
        health=health.smoothed(control.health, now),
        reasons=tuple(
            word
            for word, holds in (
                ("RTTInflation", inflated is not None and inflated > bounds.inflation),
                ("Retransmits", lossy),
            )
            if holds
        ),
    )


def stream_rate(control: PathControl, *, streams: int, bounds: Limits) -> float:
    """Return the tokens per second of one of ``streams`` streams, within the policy's bounds."""
    if control.state is PathState.CLEAR:
        return bounds.most
    return _clip(control.total / max(1, streams), bounds.least, bounds.most)


def batch_size(rate: float, *, congested: bool, bounds: Limits) -> int:
    """Return how many tokens to put in one event: one on a clear path, what the delay bears on a congested one."""
    delay = bounds.batch_delay_s if congested else 0.0
    return int(_clip(math.ceil(rate * delay), 1, bounds.batch_size))


def _slide(control: PathControl, sample: PathSample) -> Mapping[int, float]:
    """Return the minima still in the window; while congested none expires, or the queue would become the baseline."""
    congested = control.state is PathState.CONGESTED
    kept = {at: rtt for at, rtt in control.baselines.items() if congested or at > sample.at_ms - BASELINE_MS}
    if congested and kept:
        kept = {sample.at_ms: min(kept.values())}
    if sample.rtt_min_us is not None:
        kept[sample.at_ms] = min(sample.rtt_min_us, kept.get(sample.at_ms, sample.rtt_min_us))
    return kept


def _gate(control: PathControl, queue_s: float | None, bounds: Limits) -> tuple[PathState, int]:
    """Return the state and its streak: both changes want several windows in a row."""
    if queue_s is None:
        return control.state, control.streak
    if control.state is PathState.CLEAR:
        streak = control.streak + 1 if queue_s > ENTER_SHARE * bounds.target_s else 0
        return (PathState.CONGESTED, 0) if streak >= ENTER_WINDOWS else (PathState.CLEAR, streak)
    streak = control.streak + 1 if queue_s < LEAVE_SHARE * bounds.target_s else 0
    return (PathState.CLEAR, 0) if streak >= LEAVE_WINDOWS else (PathState.CONGESTED, streak)


def _total(control: PathControl, sample: PathSample, queue_s: float | None, *, lossy: bool, bounds: Limits) -> float:
    """Return the tokens per second of all streams of the path together."""
    streams = max(1, sample.active_streams)
    if control.state is PathState.CLEAR:
        return bounds.most * streams
    if queue_s is None:
        return control.total
    previous = control.total or bounds.most * streams
    error = _clip((bounds.target_s - queue_s) / bounds.target_s, -1.0, 1.0)
    wanted = sample.delivered_tokens_per_second * (1 + GAIN * error)
    if lossy and queue_s > LEAVE_SHARE * bounds.target_s:
        wanted *= LOSS_FACTOR
    slewed = _clip(wanted, previous * MOST_CUT, previous * MOST_GROWTH)
    return _clip(slewed, bounds.least * streams, bounds.most * streams)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
