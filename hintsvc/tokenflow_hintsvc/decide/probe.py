"""Drain probes: a short rest that tells a standing queue from a longer way.

While a path is congested its baseline is frozen, or the queue would become the baseline. After a lasting change of
route that would hold for ever: the longer way looks like a queue that no rate can shorten. So after some seconds of
congestion the streams rest at half of what was delivered. A queue drains, and the round-trip time with it; a way
stays as long as it is, and becomes the new baseline. Then the streams take up the rate that they had.
"""

from dataclasses import dataclass, replace
from typing import Final

from tokenflow_hintsvc.decide.samples import BottleneckSample

REST_SHARE: Final = 0.5
"""Share of the delivered rate that streams rest at: what was queued drains at the rest."""

FIRST_MS: Final = 15_000
MOST_PAUSE_MS: Final = 240_000
"""Longest time between probes: each costs some seconds of half of the rate."""

_DRAINED_SHARE: Final = 0.75
"""Delivery that has fallen to this share follows the rest: nothing is queued in front of it any more."""
_STEADY_SHARE: Final = 0.05
"""How much two minima of a drained path may differ. A smoothed round-trip time that still falls is no way's."""
_LEAST_WINDOWS: Final = 3
_MOST_WINDOWS: Final = 12
_RESUME_WINDOWS: Final = 4
"""Windows after a rest that still tell of it: what was delivered in them is no measure of what could be."""
_FALLING_SHARE: Final = 0.9
"""A queue that a window leaves less of is draining: it is one, and no probe is needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A rest that is under way, or just over.

    Attributes:
        tokens_per_second: what was delivered before it.
        floor: what streams run at in any case, tokens per second, all together.
        windows: seen so far.
        last_us: least round-trip time of the window before.
        resuming: windows left in which the old rate is taken up again; 0 during the rest.
    """

    tokens_per_second: float
    floor: float
    windows: int = 0
    last_us: float | None = None
    resuming: int = 0

    @property
    def total(self) -> float:
        """Tokens per second of all streams meanwhile."""
        return self.tokens_per_second if self.resuming else max(self.floor, REST_SHARE * self.tokens_per_second)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probing:
    """When a bottleneck is probed.

    Attributes:
        due_ms: when the next probe begins, in Unix milliseconds; 0 while the path is clear.
        pause_ms: between two of them; it doubles each time.
        probe: the one under way.
    """

    due_ms: int = 0
    pause_ms: int = FIRST_MS
    probe: Probe | None = None


def probed(
    probing: Probing,
    sample: BottleneckSample,
    *,
    queue_s: float,
    gone: bool,
    before_s: float,
    floor: float,
    loss: float,
) -> tuple[Probing, float | None]:
    """Take in one window of a congested path.

    Args:
        probing: so far.
        sample: the window.
        queue_s: its queue delay, in seconds.
        gone: whether what is left slows nobody: the old baseline still holds.
        before_s: queue delay of the window before.
        floor: least that all streams together run at, tokens per second.
        loss: retransmit ratio above which a path is lossy.

    Returns:
        What follows, and the new baseline in microseconds where the probe found one.
    """
    probe = probing.probe
    if not 0 < probing.due_ms <= sample.at_ms + probing.pause_ms:
        # It has only become congested, or the clock was set back.
        return replace(probing, due_ms=sample.at_ms + probing.pause_ms), None
    if probe is None:
        delivered = sample.delivered_tokens_per_second
        if sample.at_ms < probing.due_ms or queue_s < _FALLING_SHARE * before_s or delivered is None:
            return probing, None
        return replace(probing, probe=Probe(tokens_per_second=delivered, floor=floor)), None
    if probe.resuming:
        resuming = probe.resuming - 1
        return replace(probing, probe=replace(probe, resuming=resuming) if resuming else None), None
    found = not gone and probe.windows >= _LEAST_WINDOWS and _drained(probe, sample, loss=loss)
    if not gone and not found and probe.windows < _MOST_WINDOWS:
        return replace(probing, probe=replace(probe, windows=probe.windows + 1, last_us=sample.rtt_min_us)), None
    pause_ms = min(MOST_PAUSE_MS, probing.pause_ms * 2)
    resumed = replace(probe, resuming=_RESUME_WINDOWS)
    over = Probing(due_ms=sample.at_ms + pause_ms, pause_ms=pause_ms, probe=resumed)
    return over, sample.rtt_min_us if found else None


def _drained(probe: Probe, sample: BottleneckSample, *, loss: float) -> bool:
    """Whether the path holds no queue, so that its round-trip time is that of the way.

    A link that even the least rate overloads never drains: it loses, its senders wait, or its delay changes.
    """
    if sample.rtt_min_us is None or probe.last_us is None or sample.delivered_tokens_per_second is None:
        return False
    follows = sample.delivered_tokens_per_second <= max(_DRAINED_SHARE * probe.tokens_per_second, probe.floor)
    steady = abs(sample.rtt_min_us - probe.last_us) <= _STEADY_SHARE * probe.last_us
    idle = not sample.unsent_s and (sample.retransmit_ratio or 0.0) <= loss
    return follows and steady and idle
