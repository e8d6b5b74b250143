"""Two TelemetryAgents never share a node: the older one has it, the younger one is refused as a whole.

Two agents on a node would count each connection twice, and a selector that only half applies would be
harder to understand than none.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    """An agent and the nodes that it belongs on; ``None`` where they cannot be read."""

    agent: Agent
    nodes: AbstractSet[str] | None


def overlap_of(agent: Agent, agents: Sequence[Agent], nodes: Sequence[Manifest] | None) -> Overlap | None:
    """Return what refuses the agent, if anything does.

    Those that are refused themselves are in nobody's way.

    Args:
        agent: to be judged.
        agents: all of them.
        nodes: of the cluster; ``None`` where they cannot be read.
    """
    admitted: list[_Claim] = []
    for candidate in sorted(agents, key=lambda other: (other.created_at, other.key)):
        claim = _Claim(agent=candidate, nodes=_places(candidate, nodes))
        found = next((o for other in admitted if (o := _shared(claim, other)) is not None), None)
        if candidate.key == agent.key:
            return found
        if found is None:
            admitted.append(claim)
    return None


def _places(agent: Agent, nodes: Sequence[Manifest] | None) -> AbstractSet[str] | None:
    return None if nodes is None else {name_of(node) for node in nodes if belongs_on(agent.spec, node)}


def _shared(younger: _Claim, older: _Claim) -> Overlap | None:
    if younger.nodes is None or older.nodes is None:
        return None if _are_apart(younger.agent, older.agent) else Overlap(older=older.agent, nodes=())
    shared = younger.nodes & older.nodes
    return Overlap(older=older.agent, nodes=tuple(sorted(shared))) if shared else None


def _are_apart(one: Agent, other: Agent) -> bool:
    """Return whether no node can carry the labels of both selectors."""
    mine, theirs = one.spec.node_selector, other.spec.node_selector
    return any(mine[key] != theirs[key] for key in mine.keys() & theirs.keys())
