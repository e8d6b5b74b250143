"""Which nodes try a new revision first."""

from collections.abc import Collection, Mapping, Sequence

from tokenflow_api.telemetry_agent import Canary
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.rollout.nodes import has_labels
from tokenflow_operator.plan.rollout.sites import Site


def choose(
    sites: Sequence[Site],
    spec: Canary,
    *,
    chosen: Collection[str],
    wanted: str,
    good: str,
    nodes: Mapping[str, Manifest] | None,
) -> tuple[Site, ...]:
    """Return the sites that try the wanted revision: always the same for the same situation.

    Nodes once chosen stay so while they are well; after them come those that run the revision already, then those
    that an earlier attempt has touched.

    Args:
        sites: all of them.
        spec: how many, and which.
        chosen: names of the nodes that were chosen before.
        wanted: revision to be tried.
        good: revision that proved itself.
        nodes: by name; ``None`` where they cannot be read: then ``nodeSelector`` chooses none.
    """

    def is_eligible(site: Site) -> bool:
        if site.away or site.cordoned:
            return False
        labelled = nodes is not None and site.node in nodes and has_labels(nodes[site.node], spec.node_selector)
        return labelled or not spec.node_selector

    def preference(site: Site) -> tuple[bool, bool, bool, str]:
        return (site.node not in chosen, site.revision != wanted, site.revision == good, site.node)

    return tuple(sorted(filter(is_eligible, sites), key=preference)[: spec.nodes])
