"""What a rollout has come to, watching it, and steering it."""

from typing import Any

import pytest

from tests.operator.cli import manifests
from tokenflow_api.telemetry_agent import TelemetryAgentStatus
from tokenflow_operator.cli.resources import seen
from tokenflow_operator.cli.rollout import Progress, Verdict, progress, watch

DONE = {"desired": 3, "updated": 3, "ready": 3, "revision": "new", "lastGoodRevision": "new"}


def of(**status: Any) -> Progress:
    agent = seen(manifests.agent(**status))
    assert isinstance(agent.status, TelemetryAgentStatus)
    return progress(agent, agent.status)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({**DONE, "rollout": {"stage": "Complete"}}, Verdict.COMPLETE),
        ({**DONE, "rollout": None}, Verdict.UNDER_WAY),
        ({**DONE, "ready": 2, "rollout": {"stage": "Complete"}}, Verdict.COMPLETE),
        ({**DONE, "updated": 1, "rollout": {"stage": "Canary"}}, Verdict.UNDER_WAY),
        ({**DONE, "updated": 1, "rollout": {"stage": "Paused"}}, Verdict.UNDER_WAY),
        ({**DONE, "rollout": {"stage": "Failed"}}, Verdict.FAILED),
        ({**DONE, "rollout": {"stage": "RolledBack"}}, Verdict.FAILED),
        ({**DONE, "rollout": {"stage": "Complete"}, "observedGeneration": 0}, Verdict.UNDER_WAY),
    ],
)
def test_the_verdict_follows_the_stage_of_the_present_generation(status: dict[str, Any], verdict: Verdict) -> None:
    assert of(**status).verdict is verdict


@pytest.mark.parametrize(
    ("annotations", "rollout", "verdict"),
    [
        ({"tokenflow.io/rollout-undo": "new"}, {"stage": "Complete"}, Verdict.UNDER_WAY),
        ({"tokenflow.io/rollout-undo": "new"}, {"stage": "RolledBack"}, Verdict.FAILED),
        ({"tokenflow.io/rollout-undo": "older"}, {"stage": "Complete"}, Verdict.COMPLETE),
        ({"tokenflow.io/rollout-retry": "2"}, {"stage": "RolledBack", "retried": "1"}, Verdict.UNDER_WAY),
        ({"tokenflow.io/rollout-retry": "2"}, {"stage": "RolledBack", "retried": "2"}, Verdict.FAILED),
    ],
)
def test_what_was_asked_by_annotation_is_waited_for(
    annotations: dict[str, str], rollout: dict[str, str], verdict: Verdict
) -> None:
    manifest = manifests.agent(**DONE, rollout=rollout)
    manifest["metadata"]["annotations"] = annotations
    agent = seen(manifest)
    assert isinstance(agent.status, TelemetryAgentStatus)
    assert progress(agent, agent.status).verdict is verdict


def test_the_words_tell_how_far_and_why() -> None:
    status = {**DONE, "updated": 1, "rollout": {"stage": "Failed", "message": "node1: 3 restarts"}}
    assert of(**status).text == (
        "TelemetryAgent default/nodes: Failed: 1 of 3 nodes run revision new, 3 are ready\n  node1: 3 restarts"
    )


def ended(*texts: tuple[str, Verdict], timeout_s: float = 60.0) -> tuple[Verdict, list[str]]:
    looks = iter([Progress(verdict=verdict, text=text) for text, verdict in texts])
    now, said = [0.0], list[str]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return watch(lambda: next(looks), said.append, timeout_s=timeout_s, sleep=sleep, clock=lambda: now[0]), said


def test_watching_says_each_change_once_and_ends_with_the_rollout() -> None:
    under_way = Verdict.UNDER_WAY
    assert ended(("1", under_way), ("1", under_way), ("2", under_way), ("3", Verdict.COMPLETE)) == (
        Verdict.COMPLETE,
        ["1", "2", "3"],
    )


def test_watching_ends_at_its_time_limit() -> None:
    looks = [("1", Verdict.UNDER_WAY)] * 3
    assert ended(*looks, timeout_s=4.0) == (Verdict.UNDER_WAY, ["1"])


def test_without_watching_it_looks_once() -> None:
    assert ended(("1", Verdict.UNDER_WAY), timeout_s=0.0) == (Verdict.UNDER_WAY, ["1"])
