"""The signals that make up a health, each against its threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_hintsvc.decide.figures import greatest
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.samples import GpuSample, NodeSample, PathSample

RTT_FLOOR_US: Final = 10_000.0
"""Added to both sides of the inflation: on a path of 0.1 ms a jump to 0.3 ms is noise, not congestion."""

_LEAST_SCALE: Final = 0.05
"""Of a share whose threshold is itself 1, so that the excess has something to be measured by."""

_CELSIUS_SCALE: Final = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One signal of one window.

    Attributes:
        signal: its name.
        value: what was measured, the greater the worse; ``None`` where nobody did.
        threshold: up to which it does no harm.
        scale: how far beyond the threshold it halves the health.
    """

    signal: str
    value: float | None
    threshold: float
    scale: float

    @property
    def factor(self) -> float | None:
        """What the health is multiplied by: 1 up to the threshold, and falling as a reciprocal beyond it."""
        if self.value is None:
            return None
        return 1.0 / (1.0 + max(0.0, self.value - self.threshold) / self.scale)


def inflation(*, rtt_us: float | None, baseline_us: float | None) -> float | None:
    """Return how many times the round-trip time stands above its baseline, damped for short paths; at least 1."""
    if rtt_us is None or baseline_us is None:
        return None
    return max(1.0, (rtt_us + RTT_FLOOR_US) / (baseline_us + RTT_FLOOR_US))


def path_readings(sample: PathSample, *, baseline_us: float | None, limits: Limits) -> tuple[Reading, ...]:
    """Return the signals of a path."""
    return _network(sample, inflated=inflation(rtt_us=sample.rtt_us, baseline_us=baseline_us), limits=limits)


def node_readings(sample: NodeSample, *, limits: Limits) -> tuple[Reading, ...]:
    """Return the signals of what the pods of a node say over the network."""
    return _network(sample, inflated=inflation(rtt_us=sample.rtt_us, baseline_us=sample.rtt_min_us), limits=limits)


def gpu_readings(gpus: Sequence[GpuSample], *, limits: Limits) -> tuple[Reading, ...]:
    """Return the signals of a node's GPUs, each of the worst one; none where there is no GPU."""
    if not gpus:
        return ()
    throttled = sum(gpu.throttled for gpu in gpus) / len(gpus)
    return (
        _share("GPUUtilization", greatest(gpu.utilization for gpu in gpus), limits.gpu_utilization),
        _share("GPUMemory", greatest(gpu.memory for gpu in gpus), limits.gpu_memory),
        Reading(
            signal="GPUTemperature",
            value=greatest(gpu.temperature_celsius for gpu in gpus),
            threshold=limits.gpu_celsius,
            scale=_CELSIUS_SCALE,
        ),
        Reading(signal="GPUThrottling", value=throttled, threshold=0.0, scale=1.0),
    )


def _network(sample: PathSample | NodeSample, *, inflated: float | None, limits: Limits) -> tuple[Reading, ...]:
    return (
        _ratio("RTTInflation", inflated, limits.inflation),
        _ratio("Retransmits", sample.retransmit_ratio, limits.loss),
        _share("Backlog", sample.backlog_ratio, limits.backlog),
        _ratio("HTTPLatency", sample.http_p99_us, limits.http_p99_us),
        _ratio("HTTPErrors", sample.http_error_ratio, limits.http_errors),
    )


def _ratio(signal: str, value: float | None, threshold: float) -> Reading:
    """Return a signal that has no end: twice the threshold halves the health."""
    return Reading(signal=signal, value=value, threshold=threshold, scale=threshold)


def _share(signal: str, value: float | None, threshold: float) -> Reading:
    """Return a signal that ends at 1, where it halves the health."""
    return Reading(signal=signal, value=value, threshold=threshold, scale=max(_LEAST_SCALE, 1.0 - threshold))
