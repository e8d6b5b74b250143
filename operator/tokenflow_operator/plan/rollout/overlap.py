"""Two TelemetryAgents never share a node: the older one has it, the younger one is refused as a whole.

Two agents on a node would count each connection twice, and a selector that only half applies would be
harder to understand than none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.rollout.nodes import belongs_on, name_of
from tokenflow_operator.snapshot import Agent


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Why an agent is refused.

    Attributes:
        older: who has the nodes.
        nodes: names of the shared nodes; empty where nodes cannot be read, and the selectors alone were compared.
    """

    older: Agent
    nodes: tuple[str, ...]


def overlap_of(agent: Agent, agents: Sequence[Agent], nodes: Sequence[Manifest] | None) -> Overlap | None:
    """Return what refuses the agent, if anything does.

    Those that are refused themselves are in nobody's way.

    Args:
        agent: to be judged.
        agents: all of them.
        nodes: of the cluster; ``None`` where they cannot be read.
    """
    admitted: list[Agent] = []
    for candidate in sorted(agents, key=lambda other: (other.created_at, other.key)):
        found = next((o for other in admitted if (o := _shared(candidate, other, nodes)) is not None), None)
        if candidate.key == agent.key:
            return found
        if found is None:
            admitted.append(candidate)
    return None


def _shared(younger: Agent, older: Agent, nodes: Sequence[Manifest] | None) -> Overlap | None:
    if nodes is None:
        return None if _are_apart(younger, older) else Overlap(older=older, nodes=())
    shared = [name_of(n) for n in nodes if belongs_on(younger.spec, n) and belongs_on(older.spec, n)]
    return Overlap(older=older, nodes=tuple(sorted(shared))) if shared else None


def _are_apart(one: Agent, other: Agent) -> bool:
    """Return whether no node can carry the labels of both selectors."""
    mine, theirs = one.spec.node_selector, other.spec.node_selector
    return any(mine[key] != theirs[key] for key in mine.keys() & theirs.keys())
