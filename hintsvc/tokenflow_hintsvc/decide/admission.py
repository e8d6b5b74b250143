"""Who may start a request while the GPUs are saturated.

Pacing does not relieve an engine; fewer and shorter requests do. While the GPUs are saturated the pressure grows
by one step every few windows, and each step holds back one more priority, lowest first: first its requests are
queued, a step later they are shed. The tenants of the highest priority are never shed. When the GPUs have room
again the steps are taken back, one by one, so that those who waited do not all come at once.

Which GPUs serve which upstream is not known, so that all GPUs that are reported count, each as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from tokenflow_api.hints import Admission
from tokenflow_hintsvc.decide.figures import greatest
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.samples import GpuSample

ENTER_MS: Final = 4_000
"""Time that GPUs must be saturated for each step of pressure."""
LEAVE_MS: Final = 4_000
LEAVE_SATURATION: Final = 0.95
"""Saturation below which a step is taken back; between it and 1 pressure stays as it is."""

HELD_DOWN: Final = 0.9
"""Share of its thresholds that a GPU bears while heat or power hold its clock down."""

QUEUE_MS: Final = 1_000
SHED_MS: Final = 5_000
_SHORTER: Final = 0.75
"""Each step of pressure shortens the completions that are suggested to this share, down to a quarter."""
_SHORTEST: Final = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Pressure:
    """How hard the GPUs are pressed.

    Attributes:
        saturation: 1 where they are at the policy's thresholds; ``None`` where no GPU is reported.
        depth: steps of pressure.
        since_ms: when the last step was taken, or when saturation last spoke against another one.
    """

    saturation: float | None = None
    depth: int = 0
    since_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Admittance:
    """What a tenant's new requests meet; names as in ``Hint``."""

    admission: Admission = Admission.ADMIT
    retry_after_ms: int = 0
    max_tokens_hint: int | None = None


def saturation(gpus: Sequence[GpuSample], limits: Limits) -> float | None:
    """Return how far the GPUs are used, in the mean, 1 at the thresholds; ``None`` where no GPU tells."""
    known = [used for gpu in gpus if (used := _used(gpu, limits)) is not None]
    return sum(known) / len(known) if known else None


def pressed(before: Pressure, *, saturation: float | None, priorities: int, now_ms: int) -> Pressure:
    """Take in what the GPUs say now. Where they say nothing, pressure is taken back as if they had room.

    Args:
        before: so far.
        saturation: of the GPUs.
        priorities: different ones that tenants have; that many steps there are.
        now_ms: Unix milliseconds.
    """
    depth = min(before.depth, priorities)
    wanted = _wanted(saturation, depth=depth, priorities=priorities)
    if wanted == depth or wanted != _wanted(before.saturation, depth=depth, priorities=priorities):
        # It begins to speak for another step, or speaks for none.
        return Pressure(saturation=saturation, depth=depth, since_ms=now_ms)
    # A clock that was set back must not hold the pressure until it has caught up.
    if abs(now_ms - before.since_ms) < (ENTER_MS if wanted > depth else LEAVE_MS):
        return Pressure(saturation=saturation, depth=depth, since_ms=before.since_ms)
    return Pressure(saturation=saturation, depth=wanted, since_ms=now_ms)


def _wanted(saturation: float | None, *, depth: int, priorities: int) -> int:
    """Return the depth that a saturation speaks for: one step deeper, one less deep, or as it is."""
    if saturation is None or saturation < LEAVE_SATURATION:
        return max(0, depth - 1)
    return min(priorities, depth + 1) if saturation >= 1 else depth


def admittance(pressure: Pressure, *, rank: int, ranks: int, most_tokens: int) -> Admittance:
    """Return what the requests of a tenant meet.

    Args:
        pressure: on the GPUs.
        rank: of the tenant's priority among all, 0 for the lowest.
        ranks: number of different priorities.
        most_tokens: that one request of the tenant may ask for.
    """
    if not pressure.depth:
        return Admittance()
    tokens = ceil(most_tokens * max(_SHORTEST, _SHORTER**pressure.depth))
    if rank >= pressure.depth:
        return Admittance(max_tokens_hint=tokens)
    if rank == pressure.depth - 1 or rank == ranks - 1:
        return Admittance(admission=Admission.QUEUE, retry_after_ms=QUEUE_MS, max_tokens_hint=tokens)
    return Admittance(
        admission=Admission.SHED, retry_after_ms=SHED_MS * (pressure.depth - 1 - rank), max_tokens_hint=tokens
    )


def _used(gpu: GpuSample, limits: Limits) -> float | None:
    used = greatest(
        (
            None if gpu.utilization is None else gpu.utilization / limits.gpu_utilization,
            None if gpu.memory is None else gpu.memory / limits.gpu_memory,
        )
    )
    hot = gpu.throttled or (gpu.temperature_celsius or 0.0) > limits.gpu_celsius
    return used / HELD_DOWN if used is not None and hot else used
