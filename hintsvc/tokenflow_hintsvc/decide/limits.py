"""The policy's numbers, in the units of the law."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.quantities import seconds

FIRST_BYTE_SHARE: Final = 0.1
"""Share of the gateway's patience for the first token above which waiting for it counts as slow."""
HTTP_ERRORS: Final = 0.05
GPU_CELSIUS: Final = 85.0
"""Where data-centre GPUs begin to slow down by themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a policy sets, and where a signal begins to count against health.

    Attributes:
        least: least rate of a stream, tokens per second.
        most: greatest rate of a stream, tokens per second.
        target_s: queue delay to settle at.
        batch_delay_s: longest that a token may wait for its batch.
        batch_size: most tokens in a batch.
        inflation: round-trip time as a multiple of the path's minimum.
        loss: share of segments sent again.
        backlog: share of an accept queue.
        http_p99_us: time to the first byte.
        http_errors: share of requests that fail.
        gpu_utilization: share of the time that a GPU works.
        gpu_memory: share of its memory.
        gpu_celsius: its temperature.
    """

    least: float
    most: float
    target_s: float
    batch_delay_s: float
    batch_size: int
    inflation: float = 1.25
    loss: float = 0.02
    backlog: float = 0.8
    http_p99_us: float = 6e6
    http_errors: float = HTTP_ERRORS
    gpu_utilization: float = 0.9
    gpu_memory: float = 0.95
    gpu_celsius: float = GPU_CELSIUS


def limits(spec: PacingPolicySpec) -> Limits:
    """Return the limits that a policy sets."""
    pacing, thresholds = spec.pacing, spec.thresholds
    return Limits(
        least=float(pacing.min_tokens_per_second),
        most=float(pacing.max_tokens_per_second),
        target_s=seconds(pacing.target_backlog),
        batch_delay_s=seconds(pacing.max_batch_delay),
        batch_size=pacing.max_batch_size,
        inflation=thresholds.rtt_inflation_percent / 100,
        loss=thresholds.retransmit_percent / 100,
        backlog=thresholds.backlog_percent / 100,
        http_p99_us=seconds(spec.gateway.timeouts.first_token) * FIRST_BYTE_SHARE * 1e6,
        gpu_utilization=thresholds.gpu_utilization_percent / 100,
        gpu_memory=thresholds.gpu_memory_percent / 100,
    )
