"""Who may speak for whom."""

import pytest

from tests.hintsvc.support import runtime
from tokenflow_api.runtime import Grant, Role, RuntimeConfig
from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_hintsvc.guard.caller import ServiceAccount
from tokenflow_hintsvc.ingest.speakers import objection

NODES = ServiceAccount("default", "nodes-agent", node="n1")
GATEWAY = ServiceAccount("default", "demo-gateway", pod="demo-gateway-abc")


@pytest.fixture
def config() -> RuntimeConfig:
    grants = [
        Grant(namespace="default", service_account="nodes-agent", role=Role.AGENT, agent="nodes"),
        Grant(namespace="default", service_account="others-agent", role=Role.AGENT, agent="others"),
        Grant(namespace="default", service_account="demo-gateway", role=Role.GATEWAY),
    ]
    return runtime().model_copy(update={"grants": grants})


def batch(reporter: Reporter = Reporter.AGENT, *, agent: str = "default/nodes", node: str = "n1") -> TelemetryBatch:
    return TelemetryBatch(reporter=reporter, agent=agent, node=node, boot_id="b", sequence=1, sent_at_unix_ms=1)


def test_an_agent_speaks_for_itself(config: RuntimeConfig) -> None:
    assert objection(batch(), NODES, config) == ""
    assert objection(batch(), ServiceAccount("default", "nodes-agent"), config) == ""


@pytest.mark.parametrize("agent", ["default/others", "other/nodes", "nodes", ""])
def test_an_agent_does_not_speak_for_another(config: RuntimeConfig, agent: str) -> None:
    assert (
        objection(batch(agent=agent), NODES, config) == f"this service account does not speak for the agent {agent!r}"
    )


def test_a_token_that_is_bound_to_a_node_speaks_for_no_other(config: RuntimeConfig) -> None:
    assert objection(batch(node="n2"), NODES, config) == "this token is of another node"


def test_a_gateway_speaks_for_its_own_pod(config: RuntimeConfig) -> None:
    own = batch(Reporter.GATEWAY, agent="", node="demo-gateway-abc")
    assert objection(own, GATEWAY, config) == ""
    other = batch(Reporter.GATEWAY, agent="", node="demo-gateway-def")
    assert objection(other, GATEWAY, config) == "this token is of another pod"
    for wrong in (batch(Reporter.GATEWAY, node="demo-gateway-abc"), batch(Reporter.GATEWAY, agent="", node="No Pod")):
        assert objection(wrong, GATEWAY, config) == "a gateway names its pod as node, and no agent"


def test_only_gateways_speak_for_streams(config: RuntimeConfig) -> None:
    assert objection(batch(Reporter.GATEWAY, agent="", node="n1"), NODES, config) == "this needs the role Gateway"
    assert objection(batch(), GATEWAY, config) == "this needs the role Agent"
    assert objection(batch(), None, config) == "this needs the role Agent"


def test_a_grant_of_an_older_operator_binds_to_no_agent(config: RuntimeConfig) -> None:
    older = config.model_copy(
        update={"grants": [Grant(namespace="default", service_account="nodes-agent", role=Role.AGENT)]}
    )
    assert objection(batch(agent="default/others"), NODES, older) == ""
