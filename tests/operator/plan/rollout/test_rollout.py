"""Rollouts from the first pass to the last, in a simulated cluster."""

import pytest

from tests.operator.plan.rollout.fleet import (
    BAD,
    BETTER,
    BLIND,
    CRASHING,
    FORBIDDEN,
    GOOD,
    GREEDY,
    LOSSY,
    NEVER_READY,
    SILENT,
    TOO_LARGE,
    UNPULLABLE,
    Fleet,
    running,
)


def test_a_first_install_goes_to_all_nodes_at_once() -> None:
    fleet = Fleet(spec={"image": GOOD})
    fleet.add_nodes("node1", "node2", "node3")
    fleet.settle(within_s=60)
    assert fleet.images() == dict.fromkeys(("node1", "node2", "node3"), GOOD)
    assert fleet.status["lastGoodRevision"] == fleet.status["revision"]
    assert fleet.replaced == []


def test_a_new_revision_goes_to_one_node_first_and_then_in_waves() -> None:
    fleet = running(GOOD, 10, maxUnavailablePercent=30)
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert [nodes for _, nodes in fleet.replaced] == [
        ["node0000"],
        ["node0001", "node0002", "node0003"],
        ["node0004", "node0005", "node0006"],
        ["node0007", "node0008", "node0009"],
    ]
    tried, spread = fleet.replaced[0][0], fleet.replaced[1][0]
    assert spread - tried >= 60
    assert set(fleet.images().values()) == {BETTER}
    assert fleet.stage == "Complete"
    assert fleet.status["lastGoodRevision"] == fleet.status["revision"]


def test_a_rollout_over_a_thousand_nodes_takes_the_waves_that_the_spec_says() -> None:
    fleet = running(GOOD, 1000, maxUnavailablePercent=10)
    fleet.change_spec(image=BETTER)
    fleet.settle(within_s=600)
    assert [len(nodes) for _, nodes in fleet.replaced] == [1, *[100] * 9, 99]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (UNPULLABLE, "node0000: ImagePullFailed: agent:unpullable"),
        (CRASHING, "node0000: 2 restarts, above rollout.canary.maxRestarts (1)"),
        (NEVER_READY, "node0000: not ready within rollout.progressDeadline (60s)"),
        (TOO_LARGE, "progressDeadline (60s): Unschedulable: no memory is left"),
        (FORBIDDEN, "the canary was not well for 60s on end, waiting for node0000 to get it"),
    ],
)
def test_a_bad_image_stops_at_the_canary_and_gives_way(image: str, words: str) -> None:
    fleet = running(GOOD, 5, progressDeadline="60s")
    good = fleet.status["revision"]
    fleet.change_spec(image=image)
    fleet.settle()
    assert set(fleet.images().values()) == {GOOD}
    assert {node for _, nodes in fleet.replaced for node in nodes} == {"node0000"}
    assert fleet.stage == "RolledBack"
    assert fleet.status["lastGoodRevision"] == good
    assert fleet.status["rollout"]["failedRevision"] == fleet.status["revision"] != good
    degraded = fleet.condition("Degraded")
    assert degraded["reason"] == "RolledBack"
    assert words in degraded["message"]
    assert fleet.condition("Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (LOSSY, "node0000: 20 % of events lost, above rollout.canary.maxLostPercent (5)"),
        (GREEDY, "node0000: 90 % of a core, above rollout.canary.maxCPUPercent (50)"),
        (BLIND, "node0000: no longer reads well what other nodes do: TCPRoundTripTime: no BTF"),
        (SILENT, "waiting for telemetry from node0000"),
    ],
)
def test_a_canary_that_telemetry_speaks_against_gives_way(image: str, words: str) -> None:
    fleet = running(GOOD, 3, progressDeadline="60s")
    fleet.has_policy = True
    fleet.change_spec(image=image)
    fleet.settle()
    assert set(fleet.images().values()) == {GOOD}
    assert words in fleet.status["rollout"]["message"]


def test_without_a_policy_nobody_waits_for_telemetry() -> None:
    fleet = running(GOOD, 3)
    fleet.change_spec(image=SILENT)
    fleet.settle()
    assert set(fleet.images().values()) == {SILENT}


def test_what_is_under_way_is_told_with_numbers() -> None:
    fleet = running(GOOD, 4)
    fleet.change_spec(image=BETTER)
    told = []
    for _ in range(60):
        fleet.reconcile()
        fleet.pass_time(5)
        message = fleet.condition("Progressing")["message"].partition(": ")[2]
        if message not in told:
            told.append(message)
    assert "canary 1 of 1 nodes, 40 s of 60 s well" in told
    assert "wave: 2 of 4 nodes" in told


def test_a_failed_revision_is_tried_again_when_the_spec_or_the_annotation_changes() -> None:
    fleet = running(GOOD, 3)
    fleet.change_spec(image=UNPULLABLE)
    fleet.settle()
    assert len(fleet.replaced) == 2
    fleet.settle()
    assert len(fleet.replaced) == 2
    fleet.annotations["tokenflow.io/rollout-retry"] = "now"
    fleet.settle()
    assert len(fleet.replaced) == 4
    fleet.change_spec(interval="5s")
    fleet.settle()
    assert len(fleet.replaced) == 6


def test_a_retry_succeeds_once_the_cause_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = running(GOOD, 3, autoRollback=False)
    fleet.change_spec(image=UNPULLABLE)
    fleet.settle()
    assert (fleet.stage, fleet.condition("Ready")["reason"]) == ("Failed", "RolloutFailed")
    assert fleet.images()["node0000"] == UNPULLABLE
    monkeypatch.setattr("tests.operator.plan.rollout.fleet.UNPULLABLE", "another")
    monkeypatch.setattr("tests.operator.plan.rollout.fleet.BAD", ())
    fleet.annotations["tokenflow.io/rollout-retry"] = "1"
    fleet.settle()
    assert set(fleet.images().values()) == {UNPULLABLE}
    assert fleet.stage == "Complete"


def test_a_retry_does_not_judge_by_what_failed_before() -> None:
    fleet = running(GOOD, 3, autoRollback=False)
    fleet.change_spec(image=UNPULLABLE)
    fleet.settle()
    assert fleet.images()["node0000"] == UNPULLABLE
    fleet.annotations["tokenflow.io/rollout-retry"] = "1"
    fleet.settle()
    # The agent that failed gives way, and the node tries once more.
    assert [nodes for _, nodes in fleet.replaced] == [["node0000"]] * 3
    assert fleet.stage == "Failed"


def test_waves_in_which_no_agent_can_be_made_give_way() -> None:
    fleet = running(GOOD, 4, canary={"nodes": 0}, progressDeadline="60s")
    fleet.change_spec(image=FORBIDDEN)
    fleet.settle()
    assert fleet.replaced[0][1] == ["node0000"]
    assert fleet.images() == dict.fromkeys(fleet.nodes, GOOD)
    assert "no further node has got it for" in fleet.status["rollout"]["message"]


def test_a_rollout_needs_no_right_to_read_nodes() -> None:
    fleet = running(GOOD, 4, maxUnavailablePercent=50)
    fleet.knows_nodes = False
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert [len(nodes) for _, nodes in fleet.replaced] == [1, 2, 1]
    assert fleet.stage == "Complete"


def test_what_another_wrote_into_the_status_is_replaced() -> None:
    fleet = running(GOOD, 2)
    fleet.status["rollout"] = {"stage": "Sideways"}
    fleet.settle()
    assert fleet.stage == "Complete"
    assert fleet.replaced == []


def test_without_automatic_rollback_it_stays_where_it_failed_until_it_is_undone() -> None:
    fleet = running(GOOD, 3, autoRollback=False)
    fleet.change_spec(image=CRASHING)
    fleet.settle()
    assert sorted(fleet.images().values()) == [CRASHING, GOOD, GOOD]
    fleet.annotations["tokenflow.io/rollout-undo"] = fleet.status["revision"]
    fleet.settle()
    assert set(fleet.images().values()) == {GOOD}
    assert fleet.stage == "RolledBack"


def test_a_revision_that_went_out_everywhere_can_be_undone() -> None:
    fleet = running(GOOD, 4, maxUnavailablePercent=50)
    good = fleet.status["revision"]
    fleet.change_spec(image=BETTER)
    fleet.settle()
    fleet.replaced.clear()
    fleet.annotations["tokenflow.io/rollout-undo"] = fleet.status["revision"]
    fleet.settle()
    assert set(fleet.images().values()) == {GOOD}
    assert fleet.status["lastGoodRevision"] == good
    assert [len(nodes) for _, nodes in fleet.replaced] == [2, 2]


def test_without_an_earlier_revision_an_undo_says_so_and_changes_nothing() -> None:
    fleet = running(GOOD, 2)
    fleet.annotations["tokenflow.io/rollout-undo"] = fleet.status["revision"]
    fleet.settle()
    assert fleet.replaced == []
    ready = fleet.condition("Ready")
    assert ready["reason"] == "RolloutFailed"
    assert "no earlier one is kept" in ready["message"]
    fleet.annotations.clear()
    fleet.annotations["tokenflow.io/rollout-retry"] = "1"
    fleet.settle()
    assert (fleet.stage, fleet.condition("Ready")["status"]) == ("Complete", "True")


def test_paused_means_that_nothing_is_replaced_and_no_new_node_gets_it() -> None:
    fleet = running(GOOD, 4)
    fleet.change_spec(image=BETTER)
    while not fleet.replaced:
        fleet.reconcile()
        fleet.pass_time(1)
    fleet.annotations["tokenflow.io/rollout-paused"] = "true"
    for _ in range(60):
        assert not fleet.reconcile().delete
        fleet.pass_time(5)
    fleet.add_nodes("later")
    for _ in range(3):
        fleet.reconcile()
        fleet.pass_time(5)
    assert fleet.images()["later"] == GOOD
    assert fleet.stage == "Paused"
    assert fleet.condition("Progressing")["reason"] == "RolloutPaused"
    del fleet.annotations["tokenflow.io/rollout-paused"]
    fleet.settle()
    assert set(fleet.images().values()) == {BETTER}


def test_a_node_that_comes_during_the_canary_gets_the_good_revision() -> None:
    fleet = running(GOOD, 3)
    fleet.change_spec(image=UNPULLABLE)
    while not fleet.replaced:
        fleet.reconcile()
        fleet.pass_time(1)
    for _ in range(3):
        fleet.pass_time(1)
    fleet.add_nodes("later")
    seen = set()
    for _ in range(30):
        fleet.pass_time(1)
        fleet.reconcile()
        seen.add(fleet.images().get("later"))
    assert fleet.stage == "RolledBack"
    fleet.settle()
    assert set(fleet.images().values()) == {GOOD}


def test_a_node_that_is_away_holds_nothing_up_and_is_brought_up_to_date_when_it_is_back() -> None:
    fleet = running(GOOD, 3)
    fleet.change_node("node0001", ready=False)
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert fleet.stage == "Complete"
    assert fleet.images() == {"node0000": BETTER, "node0001": GOOD, "node0002": BETTER}
    (degraded,) = fleet.status["degradedNodes"]
    assert (degraded["name"], degraded["reason"]) == ("node0001", "NodeNotReady")
    fleet.change_node("node0001", ready=True)
    fleet.settle()
    assert set(fleet.images().values()) == {BETTER}
    assert fleet.status["degradedNodes"] == []


def test_a_cordoned_node_is_no_canary_and_comes_last() -> None:
    fleet = running(GOOD, 3)
    fleet.change_node("node0000", cordoned=True)
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert [nodes for _, nodes in fleet.replaced] == [["node0001"], ["node0002"], ["node0000"]]


def test_canaries_are_chosen_by_their_labels() -> None:
    fleet = running(GOOD, 4, canary={"nodes": 2, "nodeSelector": {"canary": "yes"}}, maxUnavailablePercent=50)
    for name in ("node0001", "node0003"):
        fleet.change_node(name, canary="yes")
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert [nodes for _, nodes in fleet.replaced] == [["node0001", "node0003"], ["node0000", "node0002"]]


def test_a_rollout_waits_for_a_node_that_may_be_the_canary() -> None:
    fleet = running(GOOD, 2, canary={"nodeSelector": {"canary": "yes"}})
    fleet.change_spec(image=BETTER)
    for _ in range(20):
        assert not fleet.reconcile().delete
        fleet.pass_time(5)
    assert "fits rollout.canary.nodeSelector" in fleet.condition("Progressing")["message"]
    fleet.change_node("node0001", canary="yes")
    fleet.settle()
    assert set(fleet.images().values()) == {BETTER}


def test_no_canary_goes_straight_to_the_waves() -> None:
    fleet = running(GOOD, 4, canary={"nodes": 0}, maxUnavailablePercent=50)
    fleet.change_spec(image=BETTER)
    fleet.settle(within_s=90)
    assert [len(nodes) for _, nodes in fleet.replaced] == [2, 2]


@pytest.mark.parametrize("image", BAD)
def test_a_revision_that_fails_in_the_waves_gives_way_too(image: str) -> None:
    fleet = running(GOOD, 6, canary={"nodes": 0}, maxUnavailablePercent=34, progressDeadline="60s")
    fleet.change_spec(image=image)
    fleet.settle()
    assert [len(nodes) for _, nodes in fleet.replaced] == [2, 2]
    assert set(fleet.images().values()) == {GOOD}


def test_a_broken_first_install_is_mended_without_a_canary() -> None:
    fleet = Fleet(spec={"image": UNPULLABLE})
    fleet.add_nodes("node1", "node2", "node3")
    for _ in range(10):
        fleet.reconcile()
        fleet.pass_time(5)
    assert fleet.stage == "Failed"
    assert fleet.condition("Ready")["reason"] == "ImagePullFailed"
    assert fleet.condition("Degraded")["reason"] == "ImagePullFailed"
    fleet.change_spec(image=GOOD)
    fleet.settle(within_s=60)
    assert set(fleet.images().values()) == {GOOD}
    assert [nodes for _, nodes in fleet.replaced] == [["node1", "node2", "node3"]]


def test_agents_without_a_revision_are_rolled_from_like_any_other() -> None:
    fleet = Fleet(spec={"image": GOOD})
    fleet.add_nodes("node1", "node2", "node3")
    before = fleet.planned().apply
    del before[-1]["spec"]["template"]["metadata"]["labels"]["tokenflow.io/revision"]
    for manifest in before:
        fleet.apply(manifest)
    fleet.status = {"revision": "of another kind", "lastGoodRevision": "of another kind"}
    fleet.pass_time(0)
    fleet.pass_time(60)
    fleet.change_spec(image=UNPULLABLE)
    fleet.settle()
    assert set(fleet.images().values()) == {GOOD}
    assert fleet.stage == "RolledBack"


def test_where_agents_run_can_change_without_ending_one() -> None:
    fleet = running(GOOD, 3)
    for name in fleet.nodes:
        fleet.change_node(name, pool="gpu")
    fleet.change_spec(nodeSelector={"pool": "gpu"}, tolerations=[{"key": "gpu", "operator": "Exists"}])
    fleet.settle()
    assert fleet.replaced == []


def test_a_canary_whose_node_goes_away_hands_on_to_another() -> None:
    fleet = running(GOOD, 3)
    fleet.change_spec(image=BETTER)
    while not fleet.replaced:
        fleet.reconcile()
        fleet.pass_time(1)
    del fleet.nodes["node0000"]
    fleet.settle()
    assert [nodes for _, nodes in fleet.replaced] == [["node0000"], ["node0001"], ["node0002"]]
    assert fleet.replaced[2][0] - fleet.replaced[1][0] >= 60


def test_an_agent_that_does_not_end_is_named_and_holds_nothing_up() -> None:
    fleet = running(GOOD, 3)
    fleet.stuck.add("node0001")
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert {name: image for name, image in fleet.images().items() if name != "node0001"} == {
        "node0000": BETTER,
        "node0002": BETTER,
    }
    (degraded,) = fleet.status["degradedNodes"]
    assert (degraded["name"], degraded["reason"]) == ("node0001", "AgentNotEnding")


def test_a_new_spec_in_the_middle_begins_with_the_nodes_that_were_touched() -> None:
    fleet = running(GOOD, 4, progressDeadline="10m")
    fleet.change_spec(image=NEVER_READY)
    while not fleet.replaced:
        fleet.reconcile()
        fleet.pass_time(5)
    fleet.change_spec(image=BETTER)
    fleet.settle()
    assert [nodes for _, nodes in fleet.replaced] == [[f"node000{i}"] for i in (0, 0, 1, 2, 3)]
    assert set(fleet.images().values()) == {BETTER}


def test_at_rest_nothing_is_looked_at_again() -> None:
    fleet = running(GOOD, 3)
    fleet.pass_time(120)
    assert fleet.planned().requeue_after_s is None
