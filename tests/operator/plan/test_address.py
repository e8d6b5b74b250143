"""Where a policy's hint service is asked while its replicas change between TLS and none."""

import dataclasses
from typing import Any

import pytest

from tests.operator.builders import agent_snapshot, pod, policy
from tokenflow_api.pacing_policy import Security
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.address import hint_service_address
from tokenflow_operator.plan.runtime import agent_config

CLEAR, BY_TLS = Security(), Security.model_validate({"tlsSecretRef": {"name": "demo-tls"}})
HOST = "demo-hintsvc.default.svc:8080"


def replica(scheme: str, *, ready: bool = True) -> Manifest:
    made = pod("demo-hintsvc-0", "hintsvc", waiting=None if ready else ("CrashLoopBackOff", ""))
    made["metadata"]["labels"] |= {"tokenflow.io/scheme": scheme} if scheme else {}
    return made


@pytest.mark.parametrize(
    ("security", "pods", "scheme"),
    [
        (BY_TLS, [], "https"),
        (BY_TLS, [replica("https")], "https"),
        (BY_TLS, [replica("http"), replica("https", ready=False)], "http"),
        (BY_TLS, [replica("http"), replica("https")], "https"),
        (BY_TLS, [replica("https", ready=False)], "https"),
        (BY_TLS, [replica("")], "https"),
        (CLEAR, [replica("https"), replica("http", ready=False)], "https"),
        (CLEAR, [replica("https"), replica("http")], "http"),
    ],
    ids=[
        "nobody is there",
        "all serve as asked for",
        "none can serve by TLS yet",
        "the first serves by TLS",
        "nobody serves at all",
        "replicas of an older release do not tell",
        "none serves without TLS yet",
        "the first serves without TLS",
    ],
)
def test_it_is_asked_as_before_until_a_replica_serves_the_new_way(
    security: Security, pods: list[Manifest], scheme: str
) -> None:
    assert (
        hint_service_address(policy().key, security, [*pods, pod("demo-gateway-0", "gateway")]) == f"{scheme}://{HOST}"
    )


def test_agents_deliver_where_the_hint_service_answers_at_present() -> None:
    snapshot: Any = agent_snapshot()
    present = {policy().key: f"https://{HOST}"}
    for addresses, url in (({}, f"http://{HOST}"), (present, f"https://{HOST}")):
        known = dataclasses.replace(snapshot, addresses=addresses)
        config = agent_config(known.agent, known.policies, addresses=known.addresses)
        assert [address.url for address in config.ingest] == [url]
