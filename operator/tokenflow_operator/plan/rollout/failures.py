"""When an agent of the new revision has failed on its node, and in which words that is told."""

from datetime import datetime

from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry_agent import Rollout
from tokenflow_operator.plan.pods import trouble_of
from tokenflow_operator.plan.rollout.sites import Site


def failure(site: Site, spec: Rollout, now: datetime) -> str:
    """Return why the agent of the site does not run and will not by waiting; empty where it may yet.

    A node that is not ready or cordoned is no evidence against a revision.
    """
    if site.pod is None or site.away or site.cordoned or site.is_ready or site.is_leaving:
        return ""
    trouble = trouble_of(site.pod, now=now)
    if trouble is not None and not trouble.may_pass:
        return f"{site.node}: {trouble.reason}: {trouble.words}"
    if (words := too_many_restarts(site, spec)) != "":
        return words
    if site.since_s(now) > seconds(spec.progress_deadline):
        why = f": {trouble.words}" if trouble is not None else ""
        return f"{site.node}: not ready within rollout.progressDeadline ({spec.progress_deadline}){why}"
    return ""


def too_many_restarts(site: Site, spec: Rollout) -> str:
    """Return how often the agent of the site has been restarted if that is too often, empty otherwise."""
    restarts = site.container.get("restartCount", 0)
    limit = spec.canary.max_restarts
    return f"{site.node}: {restarts} restarts, above rollout.canary.maxRestarts ({limit})" if restarts > limit else ""
