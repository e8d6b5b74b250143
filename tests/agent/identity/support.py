"""What tests of identity share."""

from collections.abc import Set as AbstractSet

from tokenflow_agent.identity import Origin, Pod, Pods


def resolve(known: Pods, cgroups: AbstractSet[int]) -> dict[int, Pod]:
    """Return the pods of sockets of which the cgroup alone is told."""
    found = known.owners({Origin(cgroup=cgroup) for cgroup in cgroups})
    return {origin.cgroup: pod for origin, pod in found.items()}
