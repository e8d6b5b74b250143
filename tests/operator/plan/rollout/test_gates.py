"""What a canary's gates make of what is known of its node."""

from typing import Any

import pytest

from tests.operator.builders import NOW, NOW_MS, agents_of
from tokenflow_api.cluster import NodeReport
from tokenflow_api.telemetry import AgentCost, Signal, SignalState
from tokenflow_api.telemetry_agent import Rollout
from tokenflow_operator.plan.rollout.gates import Verdict, evidence, verdict
from tokenflow_operator.plan.rollout.sites import Site

NEW, OLD = "new", "old"


def _site(node: str, revision: str, **state: Any) -> Site:
    template = {"metadata": {"labels": {"tokenflow.io/revision": revision}}, "spec": {"containers": [{"image": "a"}]}}
    daemon_set = {"metadata": {"name": "nodes-agent", "namespace": "default"}, "spec": {"template": template}}
    (pod,) = agents_of(daemon_set, node)
    return Site(node=node, pod=pod, **state)


def _report(
    node: str, *, at_unix_ms: int = NOW_MS, signals: dict[str, SignalState] | None = None, **cost: int
) -> NodeReport:
    return NodeReport(
        agent="default/nodes",
        node=node,
        at_unix_ms=at_unix_ms,
        window_ms=2000,
        signals=[Signal(name=name, state=state) for name, state in (signals or {}).items()],
        cost=AgentCost(**cost),
    )


def _verdict(*reports: NodeReport, site: Site | None = None) -> Verdict:
    canary = site or _site("canary", NEW)
    known = evidence(reports, [canary, _site("one", OLD), _site("two", OLD)], NEW)
    return verdict(canary, known, Rollout(), wanted=NEW, now=NOW)


@pytest.mark.parametrize(
    ("cost", "failed"),
    [
        ({"events": 1000, "lost": 50}, False),
        ({"events": 1000, "lost": 51}, True),
        ({"events": 99, "lost": 99}, False),
        ({"cpu_us": 600_000, "bpf_us": 400_000}, False),
        ({"cpu_us": 600_000, "bpf_us": 420_000}, True),
    ],
)
def test_loss_and_cost_are_shares_of_the_window(cost: dict[str, int], failed: bool) -> None:
    assert bool(_verdict(_report("canary", **cost)).failed) is failed


def test_a_report_from_before_the_start_is_none() -> None:
    before_it_started = NOW_MS - 86_400_000 - 1
    assert _verdict(_report("canary", at_unix_ms=before_it_started)) == Verdict(awaits="telemetry from canary")
    assert _verdict(_report("one")) == Verdict(awaits="telemetry from canary")
    assert _verdict(_report("canary")) == Verdict()


@pytest.mark.parametrize(
    ("one", "two", "failed"),
    [
        (SignalState.ACTIVE, SignalState.ACTIVE, True),
        (SignalState.ACTIVE, SignalState.OFF, True),
        (SignalState.ACTIVE, SignalState.DEGRADED, False),
        (SignalState.DEGRADED, SignalState.DEGRADED, False),
    ],
)
def test_a_signal_counts_if_the_old_revision_reads_it_well_everywhere(
    one: SignalState, two: SignalState, failed: bool
) -> None:
    reports = (
        _report("canary", signals={"GPU": SignalState.DEGRADED}),
        _report("one", signals={"GPU": one}),
        _report("two", signals={"GPU": two}),
    )
    assert bool(_verdict(*reports).failed) is failed


def test_restarts_count_though_the_agent_is_ready_again() -> None:
    site = _site("canary", NEW)
    site.container["restartCount"] = 2
    assert "2 restarts" in _verdict(_report("canary"), site=site).failed


def test_an_agent_of_the_old_revision_is_not_judged() -> None:
    site = _site("canary", OLD)
    site.container["restartCount"] = 9
    assert _verdict(_report("canary"), site=site) == Verdict(awaits="canary to get it")
