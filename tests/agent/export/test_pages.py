import json
from typing import Any

import pytest

from tests.agent.export.tables import batch, findings
from tokenflow_agent.delivery.state import Circuit, DeliveryState, DestinationState, SpoolState
from tokenflow_agent.export.history import History
from tokenflow_agent.export.model import NO_LABELS, Point, gauge
from tokenflow_agent.export.pages import Shown, pages
from tokenflow_agent.export.server import Answer, Request
from tokenflow_api.codec import encode
from tokenflow_api.telemetry import Signal, SignalState, TelemetryBatch


class Agent:
    """What the pages are about."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.history = History()
        self.delivery = DeliveryState()
        shown = Shown(
            signals=lambda: [Signal(name="GPU", state=SignalState.OFF, reason="NoGPU", message="none")],
            delivery=lambda: self.delivery,
            families=lambda: iter([(gauge("g", "G."), [Point(NO_LABELS, 1)])]),
            history=self.history,
            beat=lambda: 1000.0,
            clock=lambda: self.now_s,
        )
        self.pages = pages(shown)

    def get(self, path: str, *, accept: str = "", **query: str) -> Answer:
        return self.pages[path](Request(query=query, accept=accept))

    def json(self, path: str, **query: str) -> Any:
        return json.loads(b"".join(self.get(path, **query).body))


@pytest.fixture
def agent() -> Agent:
    return Agent()


def test_a_loop_that_is_stuck_is_unhealthy(agent: Agent) -> None:
    agent.now_s += 119
    assert agent.get("/healthz").status == 200
    agent.now_s += 1
    assert agent.get("/healthz").status == 503
    assert agent.json("/healthz") == {"windowAgeSeconds": 120.0}


def test_readiness_tells_signals_deliveries_and_spool(agent: Agent) -> None:
    agent.delivery = DeliveryState(
        SpoolState(disk_bytes=1, memory_bytes=2, reason="DiskFull", message="free space"),
        (
            DestinationState(
                policy="demo",
                url="http://h",
                circuit=Circuit.OPEN,
                message="refused",
                waiting=3,
                lag_ms=2500,
                outcomes={"failed": 5},
                dropped={"SpoolFull": 1},
            ),
        ),
    )
    assert agent.get("/readyz").status == 200
    assert agent.json("/readyz") == {
        "signals": [{"name": "GPU", "backend": "", "state": "Off", "reason": "NoGPU", "message": "none"}],
        "deliveries": [
            {
                "policy": "demo",
                "url": "http://h",
                "circuit": "Open",
                "message": "refused",
                "waiting": 3,
                "lagSeconds": 2.5,
                "outcomes": {"failed": 5},
                "dropped": {"SpoolFull": 1},
            }
        ],
        "spool": {"diskBytes": 1, "memoryBytes": 2, "reason": "DiskFull", "message": "free space"},
    }


def test_metrics_come_in_the_format_that_is_asked_for(agent: Agent) -> None:
    assert b"".join(agent.get("/metrics").body) == b"# HELP g G.\n# TYPE g gauge\ng 1\n"
    answer = agent.get("/metrics", accept="application/openmetrics-text")
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert b"".join(answer.body).endswith(b"# EOF\n")


def test_the_last_sixteen_windows_are_offered(agent: Agent) -> None:
    assert agent.json("/windows") == {"batches": []}
    whole = batch(findings())
    for sequence in range(1, 21):
        agent.history.add(sequence, encode(whole.model_copy(update={"sequence": sequence})))
    offered = [TelemetryBatch.model_validate(document) for document in agent.json("/windows")["batches"]]
    assert [each.sequence for each in offered] == list(range(5, 21))
    assert offered[0].tcp == whole.tcp
    assert [each["sequence"] for each in agent.json("/windows", after="18")["batches"]] == [19, 20]


@pytest.mark.parametrize("after", ["", "-1", "x", "٣", "9" * 19])
def test_windows_after_no_number_are_refused(agent: Agent, after: str) -> None:
    answer = agent.get("/windows", after=after)
    assert answer.status == 400
    assert b"write a number" in b"".join(answer.body)
