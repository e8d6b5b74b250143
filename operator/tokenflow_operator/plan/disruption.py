"""How much of a workload may be away at once while nodes are drained."""

from tokenflow_operator.kube.kinds import POD_DISRUPTION_BUDGET
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.objects import Owner


def disruption_budget(owner: Owner, name: str, component: str) -> Manifest:
    """Return the budget of a component: one of its pods may be evicted at a time.

    It says what may be away, not what must stay, so that a single replica blocks no drain for ever.
    """
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": owner.selector(component)},
        # A pod that does not serve protects nobody, and would hold up its node all the same.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return owner.object(POD_DISRUPTION_BUDGET, name, component, spec=spec)
