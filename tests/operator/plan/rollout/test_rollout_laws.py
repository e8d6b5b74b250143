"""What holds of every rollout, whatever happens to nodes and to the operator meanwhile."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.plan.rollout.fleet import BAD, BETTER, GOOD, Fleet, running

MAX_NODES = 12
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "lose", "find", "cordon", "uncordon", "wait", "stop"]),
        st.integers(0, MAX_NODES),
        st.integers(0, 30),
    ),
    max_size=25,
)


def _happen(fleet: Fleet, event: tuple[str, int, int]) -> None:
    """Let something happen to a node, or stop the operator amidst a pass; then let time pass."""
    what, number, seconds = event
    present = sorted(fleet.nodes)
    name = present[number % len(present)]
    match what:
        case "add" if len(present) < MAX_NODES:
            fleet.add_nodes(f"later{int(fleet.time_s)}")
        case "remove" if len(present) > 1:
            del fleet.nodes[name]
        case "lose":
            fleet.change_node(name, ready=False)
        case "find" | "uncordon":
            fleet.change_node(name)
        case "cordon":
            fleet.change_node(name, cordoned=True)
        case "stop":
            fleet.reconcile(steps=number % 4)
    for _ in range(1 + seconds // 10):
        _pass(fleet)


def _pass(fleet: Fleet) -> None:
    """Make a pass and let ten seconds go by, and hold the operator to what it may take away."""
    for _ in range(2):
        allowed, before = fleet.allowed, set(fleet.taken)
        fleet.reconcile()
        # Nodes that went away took the places of others: what it takes now must still fit in.
        if newly := fleet.taken - before:
            reachable = {
                name for name in fleet.taken if fleet.nodes[name]["status"]["conditions"][0]["status"] == "True"
            }
            steady = {name for name in reachable if not fleet.nodes[name]["spec"]["unschedulable"]}
            assert len(steady | newly) <= allowed
        fleet.pass_time(5)


def _finish(fleet: Fleet) -> None:
    for name in fleet.nodes:
        fleet.change_node(name)
    fleet.settle(within_s=3000, step_s=10)


@settings(max_examples=20, deadline=None)
@given(nodes=st.integers(1, MAX_NODES), percent=st.integers(1, 100), canaries=st.integers(0, 3), events=EVENTS)
def test_a_good_revision_reaches_every_node_and_never_too_many_at_once(
    nodes: int, percent: int, canaries: int, events: list[Any]
) -> None:
    fleet = running(GOOD, nodes, maxUnavailablePercent=percent, canary={"nodes": canaries})
    fleet.change_spec(image=BETTER)
    for event in events:
        _happen(fleet, event)
    _finish(fleet)
    assert set(fleet.images().values()) == {BETTER}
    assert fleet.stage == "Complete"


@settings(max_examples=20, deadline=None)
@given(nodes=st.integers(1, MAX_NODES), percent=st.integers(1, 100), image=st.sampled_from(BAD), events=EVENTS)
def test_a_bad_revision_never_leaves_the_canary(nodes: int, percent: int, image: str, events: list[Any]) -> None:
    fleet = running(GOOD, nodes, maxUnavailablePercent=percent, progressDeadline="60s")
    fleet.change_spec(image=image)
    for event in events:
        _happen(fleet, event)
    _finish(fleet)
    # Where a canary's node goes away, or is being worked on, another one takes its place.
    lost = sum(1 for what, *_ in events if what in ("remove", "lose", "cordon"))
    assert len(fleet.sacrificed) <= 1 + lost
    assert fleet.stage == "RolledBack"
    assert set(fleet.images().values()) == {GOOD}


@settings(max_examples=20, deadline=None)
@given(nodes=st.integers(1, MAX_NODES), percent=st.integers(1, 100), sick=st.sets(st.integers(0, MAX_NODES - 1)))
def test_a_revision_that_fails_on_some_nodes_ends_everywhere_or_nowhere(
    nodes: int, percent: int, sick: set[int]
) -> None:
    fleet = running(GOOD, nodes, maxUnavailablePercent=percent, progressDeadline="60s")
    fleet.sick = {name for index, name in enumerate(sorted(fleet.nodes)) if index in sick}
    fleet.change_spec(image=BETTER)
    fleet.settle(within_s=3000, step_s=10)
    if fleet.stage == "Complete":
        assert set(fleet.images().values()) == {BETTER}
        assert len(fleet.sick) < fleet.allowed or not fleet.sick
        assert {node["name"] for node in fleet.status["degradedNodes"]} == fleet.sick
    else:
        assert fleet.stage == "RolledBack"
        assert fleet.serving() == fleet.nodes.keys()
        assert set(fleet.images().values()) == {GOOD}


@settings(max_examples=10, deadline=None)
@given(nodes=st.integers(1, MAX_NODES), passes=st.integers(0, 30), events=EVENTS)
def test_paused_means_that_no_agent_is_ended(nodes: int, passes: int, events: list[Any]) -> None:
    fleet = running(GOOD, nodes)
    fleet.change_spec(image=BETTER)
    for _ in range(passes):
        _pass(fleet)
    fleet.annotations["tokenflow.io/rollout-paused"] = "true"
    ended = len(fleet.replaced)
    for event in events:
        _happen(fleet, event)
    assert len(fleet.replaced) == ended
    fleet.annotations.clear()
    _finish(fleet)
    assert set(fleet.images().values()) == {BETTER}
