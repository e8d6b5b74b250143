"""One round of the leader: from what was seen to what is told."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tokenflow_api.hints import ModelReport
from tokenflow_api.modes import Mode
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.decide.follow import follow
from tokenflow_hintsvc.decide.forecast import Forecast
from tokenflow_hintsvc.decide.join import Seen
from tokenflow_hintsvc.decide.limits import limits
from tokenflow_hintsvc.decide.memory import Memory
from tokenflow_hintsvc.decide.rates import Rated, rated
from tokenflow_hintsvc.decide.samples import PathKey

MAX_PATHS: Final = 512
"""Paths that are followed at once, those with most streams first; the streams of further ones run by their tenant's
hint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Foresight:
    """What the learned part says in one round.

    Attributes:
        forecasts: of the paths that it may act on.
        report: how it does; ``None`` where there is no model.
    """

    forecasts: Mapping[PathKey, Forecast]
    report: ModelReport | None = None


BLIND: Final = Foresight(forecasts={})
"""Without a model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What one round came to.

    Attributes:
        memory: for the next round.
        rated: the rate of each path.
        informed: whether any telemetry is fresh; without it every hint is the fallback.
        model: how the learned part does.
    """

    memory: Memory
    rated: Sequence[Rated] = ()
    informed: bool = False
    model: ModelReport | None = None

    def by_tenant(self) -> dict[str, list[Rated]]:
        """Return the rates of each tenant's paths."""
        found: defaultdict[str, list[Rated]] = defaultdict(list)
        for each in self.rated:
            found[each.sample.key.tenant].append(each)
        return dict(found)


def decide(memory: Memory, seen: Seen, config: RuntimeConfig, *, foresight: Foresight, now_ms: int) -> Decision:
    """Take in what was seen, and return what follows.

    Args:
        memory: of the round before.
        seen: what was seen of late.
        config: what the policy allows.
        foresight: what the learned part says.
        now_ms: Unix milliseconds.
    """
    if config.spec.mode is Mode.OFF:
        return Decision(memory=memory)
    bounds = limits(config.spec)
    tenants = {tenant.name: tenant for tenant in config.spec.tenants}
    busiest_first = sorted(
        (sample for sample in seen.paths if sample.key.tenant in tenants),
        key=lambda sample: (-sample.active_streams, sample.key),
    )
    followed = sorted(busiest_first[:MAX_PATHS], key=lambda sample: sample.key)
    priorities = len({tenant.priority for tenant in config.spec.tenants})
    after = follow(memory, replace(seen, paths=followed), limits=bounds, priorities=priorities, now_ms=now_ms)
    rates = rated(after, followed, tenants, limits=bounds, forecasts=foresight.forecasts, now_ms=now_ms)
    return Decision(
        memory=_told(after, rates, now_ms=now_ms),
        rated=rates,
        informed=bool(seen.reporters),
        model=foresight.report,
    )


def _told(memory: Memory, rates: Sequence[Rated], *, now_ms: int) -> Memory:
    paths = dict(memory.paths)
    for each in rates:
        key = each.sample.key
        paths[key] = replace(paths[key], rate=each.unquoted, told_ms=now_ms)
    return replace(memory, paths=paths)
