"""From a snapshot to a plan: pure functions, so that what the operator does can be read and tested as data."""

from tokenflow_operator.plan.model import EventType, Note, Plan
from tokenflow_operator.plan.planner import plan

__all__ = ["EventType", "Note", "Plan", "plan"]
