"""The policy's numbers, in the units of the laws."""

from dataclasses import dataclass

from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.quantities import seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a policy sets for its streams.

    Attributes:
        enforce: whether it changes anything at all.
        least: least rate of a stream, in tokens per second.
        most: greatest rate of a stream, in tokens per second.
        fallback: rate where no hint was ever heard, in tokens per second.
        target_s: backlog to settle at, as time.
        batch_size: most tokens in one event.
        batch_delay_s: longest that a token may wait for its batch.
        loss: share of the events sent again that counts as loss.
    """

    enforce: bool
    least: float
    most: float
    fallback: float
    target_s: float
    batch_size: int
    batch_delay_s: float
    loss: float


def limits(spec: PacingPolicySpec) -> Limits:
    """Return the limits that a policy sets."""
    pacing = spec.pacing
    return Limits(
        enforce=spec.mode is Mode.ENFORCE,
        least=float(pacing.min_tokens_per_second),
        most=float(pacing.max_tokens_per_second),
        fallback=float(pacing.fallback_tokens_per_second),
        target_s=seconds(pacing.target_backlog),
        batch_size=pacing.max_batch_size,
        batch_delay_s=seconds(pacing.max_batch_delay),
        loss=spec.thresholds.retransmit_percent / 100,
    )
