"""Bringing a new revision of the agents to the nodes: first to a few, then to all, and back if it fails."""

from tokenflow_operator.plan.rollout.overlap import overlap_of
from tokenflow_operator.plan.rollout.progress import roll_out

__all__ = ["overlap_of", "roll_out"]
