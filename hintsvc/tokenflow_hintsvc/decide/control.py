"""The control law of one bottleneck: from a window of measurements to a rate.

In a clear path streams run at the policy's maximum. A path whose queue delay stays high is congested: its
total rate then follows what is really delivered, a little more while the queue is short and less while it is
long, so that the queue settles at the target:

    R = D * (1 + clip(k * (tau - q) / tau, -0.7, k))

with D the delivered tokens per second, tau the policy's target backlog, and q the queue delay: round-trip time
less its baseline, and what waits in the gateways for the network. With a feedback delay d the loop is stable where
k * d / tau < pi / 2, and does not swing where it is at most 1 / e; k is chosen for that.

A path that is not saturated delivers whatever is offered, so that the law has no hold on a queue that others fill, and
would follow itself down to the least rate. So a rate is lowered only where a queue grows in spite of batches, waits in
the gateways or is very long, and no more once ``blame`` tells that it is others'.

Without a delivered rate the law is the gradient of Netflix' concurrency limits, slowed down, because with a
round-trip time that is one window old it would swing.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

from tokenflow_api.hints import PathState
from tokenflow_hintsvc.decide import batch, probe
from tokenflow_hintsvc.decide.baseline import Baseline, slid
from tokenflow_hintsvc.decide.batch import Batching
from tokenflow_hintsvc.decide.blame import Blame
from tokenflow_hintsvc.decide.figures import clip
from tokenflow_hintsvc.decide.gate import Gate, queue_s
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.probe import Probing
from tokenflow_hintsvc.decide.samples import BottleneckSample, is_new

MOST_GAIN: Final = 0.5
LOOP_DELAY_S: Final = 1.25
"""Half a window of averaging, a quarter of a second until the next round, half a window until the next answer."""
MOST_CUT: Final = 0.7
"""Share of the delivered rate that a long queue takes at most, to drain."""
MOST_BORNE: Final = 4.0
"""Target delays that a queue may be long where batches alone keep it from growing."""
FALLS_SHARE: Final = 0.9
"""Share of what it was a window ago up to which a longer one falls by itself."""
GROWS_S: Final = 0.15
"""Seconds that a queue grows by in a window where the streams alone offer that share more than is delivered."""

SHORT_SHARE: Final = 0.5
"""Share of the target delay below which a queue is too short to keep the path busy all the time."""
MOST_DIP: Final = 1.5
"""Times what was delivered up to which a rate then holds."""

LOSS_FACTOR: Final = 0.7

GRADIENT_STEP: Final = 0.05
GRADIENT_TOLERANCE: Final = 1.25
_GRADIENT_LEAST: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """What the law remembers of a bottleneck.

    Attributes:
        at_ms: start of the last window taken in.
        baseline: round-trip time without a queue.
        gate: whether it is congested.
        batching: how far its streams are batched.
        probing: when the baseline is probed.
        blame: whose queue it is.
        queue_s: queue delay of the last window that told of one.
        total: tokens per second of all streams together; only counts while congested.
        streams: open when last told.
    """

    at_ms: int = 0
    baseline: Baseline = field(default_factory=Baseline)
    gate: Gate = field(default_factory=Gate)
    batching: Batching = field(default_factory=Batching)
    probing: Probing = field(default_factory=Probing)
    blame: Blame = field(default_factory=Blame)
    queue_s: float | None = None
    total: float = 0.0
    streams: int = 1

    @property
    def congested(self) -> bool:
        """Whether the law holds the streams back."""
        return self.gate.state is PathState.CONGESTED

    def held(self, limits: Limits) -> bool:
        """Whether it holds them back at present."""
        return self.congested and 0 < self.total < limits.most * self.streams


def gain(target_s: float) -> float:
    """Return k for a target delay: the loop then does not swing at its own delay, and is stable at four times it."""
    return min(MOST_GAIN, target_s / (math.e * LOOP_DELAY_S))


def step(control: Control, sample: BottleneckSample, limits: Limits) -> Control:
    """Take in one window; a window that was taken in before changes nothing."""
    if not is_new(sample.at_ms, last_ms=control.at_ms):
        return control
    baseline = slid(control.baseline, sample, frozen=control.congested and not control.blame.others)
    queue = queue_s(sample, baseline_us=baseline.least_us)
    # A queue that a rest drains speaks for the rest, not for the path.
    resting = control.probing.probe is not None
    gate = control.gate if resting else control.gate.next(queue, baseline_us=baseline.least_us, limits=limits)
    now = replace(
        control,
        at_ms=sample.at_ms,
        baseline=baseline,
        gate=gate,
        queue_s=queue,
        streams=sample.active_streams or control.streams,
    )
    if not now.congested:
        return replace(now, batching=batch.clear(control.batching), probing=Probing(), blame=Blame(), total=0.0)
    # A window in which nobody sent says nothing of what batches do.
    batching = control.batching if queue is None else batch.congested(control.batching)
    now = _blamed(replace(now, batching=batching), sample, limits)
    now = _probed(now, sample, limits, before=control)
    total = _total(now, sample, limits, before=control)
    return replace(now, total=clip(total, limits.least * now.streams, limits.most * now.streams))


def _blamed(control: Control, sample: BottleneckSample, limits: Limits) -> Control:
    delivered = sample.delivered_bytes_per_second
    if control.queue_s is None or not delivered:
        return control
    if _waits(sample, limits):
        return replace(control, blame=Blame())
    lossy = (sample.retransmit_ratio or 0.0) > limits.loss
    blame = control.blame.next(queue_s=control.queue_s, delivered=delivered, target_s=limits.target_s, lossy=lossy)
    return replace(control, blame=blame)


def _probed(control: Control, sample: BottleneckSample, limits: Limits, *, before: Control) -> Control:
    if control.queue_s is None:
        return control
    if control.blame.others:
        # A rest would tell no more. The baseline slides again, so that a longer way is known for one in time.
        return replace(control, probing=replace(control.probing, probe=None))
    short = control.queue_s < SHORT_SHARE * limits.target_s
    if short and control.probing.due_ms and not control.probing.probe:
        # Whatever the baseline should be, it slows nobody: only a queue that stands from now on may be a way.
        due_ms = sample.at_ms + control.probing.pause_ms
        return replace(control, probing=replace(control.probing, due_ms=due_ms))
    probing, found_us = probe.probed(
        control.probing,
        sample,
        queue_s=control.queue_s,
        gone=short,
        before_s=before.queue_s or 0.0,
        floor=limits.least * control.streams,
        loss=limits.loss,
    )
    baseline = control.baseline if found_us is None else Baseline({sample.at_ms: found_us})
    return replace(control, probing=probing, baseline=baseline)


def _total(control: Control, sample: BottleneckSample, limits: Limits, *, before: Control) -> float:
    """Return the tokens per second of all streams of a congested bottleneck together."""
    most = limits.most * control.streams
    previous = control.total if before.held(limits) else most
    if control.probing.probe is not None:
        return control.probing.probe.total
    if control.blame.others:
        return most
    # An outage is no measure of what the path bears.
    outage = sample.delivered_tokens_per_second == 0
    if control.queue_s is None or outage or _bides(control, sample, limits, before=before):
        return previous
    if sample.delivered_tokens_per_second is None:
        return _gradient(previous, control, sample, limits)
    k = gain(limits.target_s)
    error = (limits.target_s - control.queue_s) / limits.target_s
    wanted = sample.delivered_tokens_per_second * (1 + clip(k * error, -MOST_CUT, k))
    if control.gate.streak:
        # The queue is gone, so that what was delivered is what was offered, and no measure of what could be.
        return max(wanted, previous)
    if control.queue_s < SHORT_SHARE * limits.target_s:
        # A short queue does not always keep the path busy: a window in which less was delivered is no reason to slow.
        wanted = max(wanted, min(previous, MOST_DIP * sample.delivered_tokens_per_second))
    lossy = (sample.retransmit_ratio or 0.0) > limits.loss
    # Loss alone says nothing of the load: only beside a queue that the law did not ask for.
    return wanted * LOSS_FACTOR if lossy and control.queue_s > limits.target_s else wanted


def _bides(control: Control, sample: BottleneckSample, limits: Limits, *, before: Control) -> bool:
    """Whether batches get time to help, or are all that it takes."""
    if control.batching.grace:
        return True
    if before.held(limits) or _waits(sample, limits):
        return False
    queue_s, known_s = control.queue_s or 0.0, before.queue_s or 0.0
    grows = before.queue_s is not None and queue_s > known_s + GROWS_S
    stands = queue_s > MOST_BORNE * limits.target_s and queue_s > FALLS_SHARE * known_s
    return not (grows or stands)


def _waits(sample: BottleneckSample, limits: Limits) -> bool:
    """Whether so much waits in the gateways that a queue is the streams' own."""
    return (sample.unsent_s or 0.0) > SHORT_SHARE * limits.target_s


def _gradient(previous: float, control: Control, sample: BottleneckSample, limits: Limits) -> float:
    base_us = control.baseline.least_us
    gradient = 1.0
    if sample.rtt_us and base_us is not None:
        gradient = clip(base_us * GRADIENT_TOLERANCE / sample.rtt_us, _GRADIENT_LEAST, 1.0)
    headroom = limits.least * control.streams
    return (1 - GRADIENT_STEP) * previous + GRADIENT_STEP * (gradient * previous + headroom)
