"""From the state of all bottlenecks to the rate of each path, one step after the other.

law -> share -> model -> slew -> bounds -> quota: each step takes the rate that the one before left, and says
whether it changed it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import Tenant
from tokenflow_hintsvc.decide.control import Control
from tokenflow_hintsvc.decide.fair import fair
from tokenflow_hintsvc.decide.figures import clip
from tokenflow_hintsvc.decide.forecast import Forecast, nudge
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.memory import Memory, PathMemory
from tokenflow_hintsvc.decide.samples import PathKey, PathSample
from tokenflow_hintsvc.decide.slew import slewed

_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to a rate: its name, the tokens per second after it, and whether it changed them."""

    name: str
    tokens_per_second: float
    acted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Rated:
    """The rate of one path, and how it came about.

    Attributes:
        sample: the newest window.
        control: of its bottleneck.
        unquoted: tokens per second of one stream before its quota; the next round's slew starts from it.
        steps: from the law to the hint.
        model: version that moved the rate, empty where none did.
    """

    sample: PathSample
    control: Control
    unquoted: float
    steps: tuple[Step, ...]
    model: str

    @property
    def tokens_per_second(self) -> float:
        """Rate of one stream, as it is told."""
        return self.steps[-1].tokens_per_second

    @property
    def acted(self) -> list[str]:
        """Names of the steps that changed the rate."""
        return [step.name for step in self.steps if step.acted]


def rated(
    memory: Memory,
    samples: Sequence[PathSample],
    tenants: Mapping[str, Tenant],
    *,
    limits: Limits,
    forecasts: Mapping[PathKey, Forecast],
    now_ms: int,
) -> list[Rated]:
    """Return the rate of each path.

    Args:
        memory: the samples taken in.
        samples: the newest window of each path, all of them of ``tenants``.
        tenants: by their names.
        limits: the policy's.
        forecasts: of the paths that a model may act on.
        now_ms: Unix milliseconds.
    """
    fair_rates = fair(memory, samples, tenants, limits)
    return [
        _rated(
            sample,
            memory.paths[sample.key],
            memory.bottlenecks[sample.key.bottleneck],
            share=fair_rates.shares[sample.key],
            quota=fair_rates.quotas[sample.key.tenant],
            limits=limits,
            forecast=forecasts.get(sample.key),
            now_ms=now_ms,
        )
        for sample in samples
    ]


def _rated(
    sample: PathSample,
    path: PathMemory,
    control: Control,
    *,
    share: float,
    quota: float,
    limits: Limits,
    forecast: Forecast | None,
    now_ms: int,
) -> Rated:
    law = control.total / control.streams if control.congested else limits.most
    base_us = control.baseline.least_us
    moved = share
    if forecast is not None and base_us is not None:
        moved *= nudge(forecast, baseline_us=base_us, target_s=limits.target_s)
    slow = moved
    if path.rate is not None:
        # A clock that was set back must not hold the rate until it has caught up.
        elapsed_s = min(1.0, abs(now_ms - path.told_ms) / 1000)
        used = path.peak / path.streams if sample.delivered_tokens_per_second is not None else None
        delivered = (sample.delivered_tokens_per_second or 0.0) / path.streams
        slow = slewed(moved, path.rate, control=control, elapsed_s=elapsed_s, used=used, delivered=delivered)
    bounded = clip(slow, limits.least, limits.most)
    rates = {
        "law": law,
        "share": share,
        "model": moved,
        "slew": slow,
        "bounds": bounded,
        "quota": min(bounded, quota),
    }
    before = limits.most
    steps = []
    for name, rate in rates.items():
        steps.append(Step(name, rate, abs(rate - before) > _SAME))
        before = rate
    return Rated(
        sample=sample,
        control=control,
        unquoted=bounded,
        steps=tuple(steps),
        model=forecast.version if forecast is not None and moved != share else "",
    )
