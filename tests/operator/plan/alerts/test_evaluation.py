"""An alert fires after its time, ends after its cause, and changes its mind at most once in either."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.builders import NOW
from tokenflow_operator.plan.alerts.definitions import AlertName
from tokenflow_operator.plan.alerts.evaluation import CLEAR_S, Evaluation, evaluate
from tokenflow_operator.plan.alerts.memory import remembered

FOR_S = 30.0
DOWN = AlertName.HINT_SERVICE_DOWN


def _status(evaluation: Evaluation) -> dict[str, Any]:
    """Return what stands in the API after the pass."""
    return {
        "alerts": [alert.model_dump(mode="json") for alert in evaluation.firing],
        "pendingAlerts": [alert.model_dump(mode="json") for alert in evaluation.pending],
    }


def _course(looks: Iterable[tuple[float, bool]]) -> list[tuple[float, bool, Evaluation]]:
    """Look at these seconds, the cause being there or not, with nothing but the status to remember by."""
    status: dict[str, Any] = {}
    found = []
    for at_s, there in looks:
        now = NOW + timedelta(seconds=at_s)
        evaluation = evaluate({DOWN: "it is away"} if there else {}, remembered(status), for_s=FOR_S, now=now)
        status = _status(evaluation)
        found.append((at_s, there, evaluation))
    return found


def test_a_cause_must_last_before_the_alert_fires() -> None:
    *before, (_, _, last) = _course([(0, True), (15, True), (29.9, True), (30, True)])
    assert [evaluation.firing for _, _, evaluation in before] == [(), (), ()]
    assert [evaluation.due_in_s for _, _, evaluation in before] == [30.0, 15.0, pytest.approx(0.1)]
    (alert,) = last.firing
    assert (alert.name, alert.severity, alert.message) == ("HintServiceDown", "Critical", "it is away")
    assert alert.since == "2026-01-01T00:00:00Z"
    assert last.began == (alert,)
    assert last.pending == ()


def test_a_cause_that_goes_before_its_time_is_forgotten() -> None:
    (_, _, last) = _course([(0, True), (20, False), (25, True), (50, True)])[-1]
    assert last.firing == ()
    assert last.due_in_s == 5.0


def test_an_alert_ends_once_its_cause_has_been_gone_for_a_while() -> None:
    course = _course([(0, True), (30, True), (40, False), (69, False), (70, False), (75, False)])
    assert [len(evaluation.firing) for _, _, evaluation in course] == [0, 1, 1, 1, 0, 0]
    assert [len(evaluation.ended) for _, _, evaluation in course] == [0, 0, 0, 0, 1, 0]
    assert course[2][2].due_in_s == CLEAR_S


def test_a_cause_that_comes_back_in_time_is_the_same_alert() -> None:
    course = _course([(0, True), (30, True), (40, False), (60, True), (65, False), (94, False)])
    assert [len(evaluation.firing) for _, _, evaluation in course] == [0, 1, 1, 1, 1, 1]
    assert [len(evaluation.began) for _, _, evaluation in course] == [0, 1, 0, 0, 0, 0]
    assert course[3][2].firing[0].clear_since == ""


@given(st.lists(st.tuples(st.floats(0.1, 20), st.booleans()), max_size=60))
def test_no_alert_fires_before_its_time_nor_changes_its_mind_sooner(steps: list[tuple[float, bool]]) -> None:
    at_s, looks = 0.0, []
    for step_s, there in steps:
        at_s += step_s
        looks.append((at_s, there))
    there_since: float | None = None
    changed_at = -FOR_S
    for at_s, there, evaluation in _course(looks):
        there_since = (there_since if there_since is not None else at_s) if there else None
        if evaluation.began:
            assert there_since is not None
            assert at_s - there_since >= FOR_S
        if evaluation.began or evaluation.ended:
            assert at_s - changed_at >= min(FOR_S, CLEAR_S)
            changed_at = at_s
        assert not (evaluation.firing and evaluation.pending)
        if evaluation.due_in_s != float("inf"):
            assert 0 < evaluation.due_in_s <= max(FOR_S, CLEAR_S) + 1


@given(st.lists(st.booleans(), max_size=40))
def test_a_cause_that_lasts_fires_and_one_that_is_gone_ends(history: list[bool]) -> None:
    looks = [(float(second), there) for second, there in enumerate(history)]
    lasting = [(len(history) + float(second), True) for second in range(32)]
    gone = [(len(history) + 32.0 + second, False) for second in range(33)]
    course = _course([*looks, *lasting, *gone])
    assert course[len(history) + 31][2].firing
    assert not course[-1][2].firing


@pytest.mark.parametrize("since", ["yesterday", "", "2031-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_time_that_says_nothing_counts_as_now(since: str) -> None:
    memory = remembered({"pendingAlerts": [{"name": "HintServiceDown", "since": since}]})
    assert evaluate({DOWN: "it is away"}, memory, for_s=FOR_S, now=NOW).due_in_s == FOR_S


@pytest.mark.parametrize("status", [{"alerts": "none"}, {"alerts": [{"name": 7}]}, {"pendingAlerts": None}])
def test_what_others_wrote_into_the_status_is_put_up_with(status: dict[str, Any]) -> None:
    assert evaluate({}, remembered(status), for_s=FOR_S, now=NOW) == Evaluation()


def test_an_alert_that_this_release_does_not_know_ends() -> None:
    memory = remembered({"alerts": [{"name": "OfOld", "severity": "Info", "since": "2025-01-01T00:00:00Z"}]})
    evaluation = evaluate({}, memory, for_s=FOR_S, now=NOW)
    assert (evaluation.firing, [alert.name for alert in evaluation.ended]) == ((), ["OfOld"])


def test_the_gravest_come_first() -> None:
    seen = {AlertName.AGENT_MISSING: "x", AlertName.TOKEN_FLOW_HEALTH_LOW: "y", DOWN: "z"}
    pending = [{"name": name.value, "since": "2025-01-01T00:00:00Z"} for name in seen]
    evaluation = evaluate(seen, remembered({"pendingAlerts": pending}), for_s=FOR_S, now=NOW)
    assert [alert.name for alert in evaluation.firing] == ["HintServiceDown", "TokenFlowHealthLow", "AgentMissing"]
