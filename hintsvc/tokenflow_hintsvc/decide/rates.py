"""From the state of all bottlenecks to the rate of each path, one step after the other.

law -> share -> model -> slew -> bounds -> quota: each step takes the rate that the one before left, and says
whether it changed it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import Tenant
from tokenflow_hintsvc.decide.control import Control
from tokenflow_hintsvc.decide.figures import clip
from tokenflow_hintsvc.decide.forecast import Forecast, nudge
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.memory import Memory, PathMemory
from tokenflow_hintsvc.decide.samples import Bottleneck, PathKey, PathSample
from tokenflow_hintsvc.decide.share import Claim, shares

GROWTH_PER_S: Final = 1.5
"""Most that a rate may grow in a second, as a factor."""
GENTLE_GROWTH_PER_S: Final = 1.1
GENTLE_WINDOWS: Final = 5
"""Windows after congestion in which it grows more slowly: so long it takes until a queue that comes back is seen."""
CUT_PER_S: Final = 0.5
"""Least that a second may leave of it."""

HEADROOM: Final = 1.5
"""A tenant is taken to want so many times what it is delivered: less is likely to bind, more would lie idle."""

LEAST_RATE: Final = 0.1
"""Tokens per second that even an exhausted quota leaves a stream: a hint never says zero."""

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
    open_streams: Counter[str] = Counter()
    for sample in samples:
        open_streams[sample.key.tenant] += _streams(sample, memory)
    quotas = {name: quota_share(tenant, streams=open_streams[name]) for name, tenant in tenants.items()}
    fair = _fair_shares(memory, samples, tenants, quotas, limits)
    return [
        _rated(
            sample,
            memory.paths[sample.key],
            memory.bottlenecks[sample.key.bottleneck],
            share=fair[sample.key],
            quota=quotas[sample.key.tenant],
            limits=limits,
            forecast=forecasts.get(sample.key),
            now_ms=now_ms,
        )
        for sample in samples
    ]


def quota_share(tenant: Tenant, *, streams: int) -> float:
    """Return the tokens per second that the quota leaves each stream of the tenant."""
    return max(LEAST_RATE, tenant.tokens_per_minute / 60 / max(1, streams))


def _streams(sample: PathSample, memory: Memory) -> int:
    return sample.active_streams or memory.paths[sample.key].streams


def _fair_shares(
    memory: Memory,
    samples: Iterable[PathSample],
    tenants: Mapping[str, Tenant],
    quotas: Mapping[str, float],
    limits: Limits,
) -> dict[PathKey, float]:
    """Return the tokens per second of one stream of each path, as the tenants share the bottlenecks."""
    shared: defaultdict[Bottleneck, list[PathSample]] = defaultdict(list)
    for sample in samples:
        shared[sample.key.bottleneck].append(sample)
    fair = {}
    for bottleneck, paths in shared.items():
        control = memory.bottlenecks[bottleneck]
        streams = [_streams(path, memory) for path in paths]
        claims = [
            _claim(path, count, weight=tenants[path.key.tenant].weight, quota=quotas[path.key.tenant], limits=limits)
            for path, count in zip(paths, streams, strict=True)
        ]
        parts = shares(control.total, claims) if control.congested else [claim.cap for claim in claims]
        for path, count, part in zip(paths, streams, parts, strict=True):
            fair[path.key] = part / count if control.congested else limits.most
    return fair


def _claim(sample: PathSample, streams: int, *, weight: int, quota: float, limits: Limits) -> Claim:
    cap = min(limits.most, quota) * streams
    floor = min(limits.least * streams, cap)
    delivered = sample.delivered_tokens_per_second
    wanted = cap if delivered is None else clip(HEADROOM * delivered, floor, cap)
    return Claim(floor=floor, wanted=wanted, cap=cap, weight=float(weight))


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
        elapsed_s = clip((now_ms - path.told_ms) / 1000, 0.0, 1.0)
        slow = slewed(moved, path.rate, control=control, elapsed_s=elapsed_s)
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


def slewed(rate: float, told: float, *, control: Control, elapsed_s: float) -> float:
    """Return the part of the way from the rate that was told ``elapsed_s`` seconds ago that this time allows."""
    gentle = not control.congested and control.gate.rested < GENTLE_WINDOWS
    growth = GENTLE_GROWTH_PER_S if gentle else GROWTH_PER_S
    return clip(rate, told * CUT_PER_S**elapsed_s, told * growth**elapsed_s)
