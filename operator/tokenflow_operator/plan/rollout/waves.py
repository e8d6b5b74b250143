"""Which agents may be replaced now, so that never too many nodes are without one."""

from collections.abc import Sequence
from datetime import datetime

from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry_agent import Rollout
from tokenflow_operator.plan.rollout.sites import Site


def allowed_unavailable(spec: Rollout, desired: int) -> int:
    """Return how many of the desired nodes may be without a ready agent at once."""
    return max(1, desired * spec.max_unavailable_percent // 100)


def is_available(site: Site, target: str, now: datetime) -> bool:
    """Return whether the site's agent can be counted on: one of the target revision must have settled."""
    return site.is_settled(now) if site.revision == target else site.is_ready


def is_excused(site: Site, spec: Rollout, now: datetime) -> bool:
    """Return whether nobody waits for the site's agent: its node is away, or is worked on, or lets no agent end."""
    overdue = site.cordoned and site.since_s(now) > seconds(spec.progress_deadline)
    return site.away or overdue or site.is_stuck(now)


def outdated(sites: Sequence[Site], target: str) -> list[Site]:
    """Return the sites whose agent is to be replaced and can be, those to begin with first.

    What does not serve anyway comes first, what is worked on last.
    """
    found = (site for site in sites if site.revision not in ("", target) and not site.away)
    return sorted(found, key=lambda site: (site.is_ready, site.cordoned, site.node))


def replaceable(
    sites: Sequence[Site], candidates: Sequence[Site], *, target: str, desired: int, spec: Rollout, now: datetime
) -> tuple[Site, ...]:
    """Return those of the candidates that may be replaced now.

    An agent that does not serve may always be: that takes nothing away.

    Args:
        sites: all of them.
        candidates: outdated ones, in the order in which they are to be replaced.
        target: revision that replaces them.
        desired: number of nodes that should run an agent.
        spec: how many may be unavailable.
        now: time of day.
    """
    without = sum(1 for site in sites if not is_available(site, target, now) and not is_excused(site, spec, now))
    unseen = desired - len(sites)
    places = max(0, allowed_unavailable(spec, desired) - without - unseen)
    idle = [site for site in candidates if not site.is_ready]
    serving = [site for site in candidates if site.is_ready]
    return (*idle, *serving[:places])
