"""When to look at a resource again though nothing was told of it: where time alone changes what is to be done or said.

Everything else comes by itself: watches tell of the cluster, polls of the hint services.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from math import inf
from typing import Final

from tokenflow_api.meta import Condition
from tokenflow_operator.plan.reasons import Problem, Reason, Severity

UNSETTLED_S: Final = 5.0
UNSETTLED_LONG_S: Final = 60.0
"""Least and most seconds between two looks while something is under way."""
SETTLED_S: Final = 20.0
"""Seconds after a change until the last look for its sake: silence that follows from it is told by then."""
REFUSED_S: Final = 15.0
REFUSED_LONG_S: Final = 300.0
"""Least and most seconds until that is tried again which stands in the way of an object."""

_IN_THE_WAY: Final = frozenset({Reason.APPLY_REFUSED, Reason.CONFLICT})


def due_in_s(problems: Iterable[Problem], judged: Sequence[Condition], *, now: datetime) -> float:
    """Return the seconds until the next look, infinite where none is needed.

    Args:
        problems: what is not as asked for.
        judged: the conditions, each with the time since when it holds.
        now: time of day.
    """
    problems = tuple(problems)
    changed_s = min((_age_s(condition, now) for condition in judged), default=inf)
    if any(problem.reason in _IN_THE_WAY for problem in problems):
        # As long again as it has lasted: what was not mended at once may take days.
        return min(REFUSED_LONG_S, max(REFUSED_S, changed_s))
    under_way = any(problem.severity is Severity.PROGRESSING for problem in problems)
    if under_way:
        return min(UNSETTLED_LONG_S, max(UNSETTLED_S, changed_s / 2))
    return SETTLED_S - changed_s if changed_s < SETTLED_S else inf


def _age_s(condition: Condition, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(condition.last_transition_time)).total_seconds())
