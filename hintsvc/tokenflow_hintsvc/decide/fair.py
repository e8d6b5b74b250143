"""Who gets what of a bottleneck, and of a tenant's quota."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import Tenant
from tokenflow_hintsvc.decide.figures import clip
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.memory import Memory
from tokenflow_hintsvc.decide.samples import Bottleneck, PathKey, PathSample
from tokenflow_hintsvc.decide.share import Claim, shares

HEADROOM: Final = 1.5
"""A tenant is taken to want so many times its peak of late: less is likely to bind, more would lie idle."""

LEAST_RATE: Final = 0.1
"""Tokens per second that even an exhausted quota leaves a stream: a hint never says zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fair:
    """What is fair for each path, in tokens per second of one stream.

    Attributes:
        shares: of the bottlenecks; the policy's maximum where they are clear.
        quotas: of each tenant's quota.
    """

    shares: Mapping[PathKey, float]
    quotas: Mapping[str, float]


def fair(memory: Memory, samples: Sequence[PathSample], tenants: Mapping[str, Tenant], limits: Limits) -> Fair:
    """Divide bottlenecks among the tenants that share them, and quotas among their streams.

    Args:
        memory: the samples taken in.
        samples: the newest window of each path, all of them of ``tenants``.
        tenants: by their names.
        limits: the policy's.
    """
    streams = {sample.key: sample.active_streams or memory.paths[sample.key].streams for sample in samples}
    of_tenant: Counter[str] = Counter()
    shared: defaultdict[Bottleneck, list[PathSample]] = defaultdict(list)
    for sample in samples:
        of_tenant[sample.key.tenant] += streams[sample.key]
        shared[sample.key.bottleneck].append(sample)
    quotas = {name: quota_share(tenant, streams=of_tenant[name]) for name, tenant in tenants.items()}
    found = {sample.key: limits.most for sample in samples}
    for bottleneck, paths in shared.items():
        control = memory.bottlenecks[bottleneck]
        if not control.congested:
            continue
        claims = [
            _claim(
                path,
                streams[path.key],
                peak=memory.paths[path.key].peak,
                weight=tenants[path.key.tenant].weight,
                quota=quotas[path.key.tenant],
                limits=limits,
            )
            for path in paths
        ]
        for path, part in zip(paths, shares(control.total, claims), strict=True):
            found[path.key] = part / streams[path.key]
    return Fair(shares=found, quotas=quotas)


def quota_share(tenant: Tenant, *, streams: int) -> float:
    """Return the tokens per second that the quota leaves each stream of the tenant."""
    return max(LEAST_RATE, tenant.tokens_per_minute / 60 / max(1, streams))


def _claim(sample: PathSample, streams: int, *, peak: float, weight: int, quota: float, limits: Limits) -> Claim:
    cap = min(limits.most, quota) * streams
    floor = min(limits.least * streams, cap)
    told = sample.delivered_tokens_per_second is not None
    wanted = clip(HEADROOM * peak, floor, cap) if told else cap
    return Claim(floor=floor, wanted=wanted, cap=cap, weight=float(weight))
