"""When a resource is looked at again though nothing happened to it."""

from datetime import timedelta
from math import inf

import pytest

from tests.operator.builders import NOW
from tokenflow_api.meta import Condition, ConditionStatus
from tokenflow_operator.plan.conditions import timestamp
from tokenflow_operator.plan.due import due_in_s
from tokenflow_operator.plan.reasons import Problem, Reason, Severity


def _ready_since(seconds: float) -> list[Condition]:
    return [
        Condition(
            type="Ready",
            status=ConditionStatus.FALSE,
            observed_generation=1,
            last_transition_time=timestamp(NOW - timedelta(seconds=seconds)),
            reason="X",
            message="",
        )
    ]


def _problem(reason: Reason, severity: Severity) -> Problem:
    return Problem(reason=reason, severity=severity, message="")


def test_at_rest_never() -> None:
    degraded = _problem(Reason.NODES_DEGRADED, Severity.DEGRADED)
    assert due_in_s([degraded], _ready_since(3600), now=NOW) == inf


@pytest.mark.parametrize(("lasts_s", "due_s"), [(0, 5.0), (9, 5.0), (40, 20.0), (86400, 60.0)])
def test_while_something_is_under_way_soon_and_then_ever_more_rarely(lasts_s: float, due_s: float) -> None:
    starting = _problem(Reason.GATEWAY_STARTING, Severity.PROGRESSING)
    assert due_in_s([starting], _ready_since(lasts_s), now=NOW) == due_s


def test_what_has_just_changed_is_looked_at_once_more() -> None:
    assert due_in_s([], _ready_since(3), now=NOW) == 17.0
    assert due_in_s([], _ready_since(20), now=NOW) == inf


@pytest.mark.parametrize(("lasts_s", "due_s"), [(0, 15.0), (100, 100.0), (86400, 300.0)])
@pytest.mark.parametrize("reason", [Reason.APPLY_REFUSED, Reason.CONFLICT])
def test_what_is_refused_is_tried_ever_more_rarely(reason: Reason, lasts_s: float, due_s: float) -> None:
    assert due_in_s([_problem(reason, Severity.BLOCKING)], _ready_since(lasts_s), now=NOW) == due_s
