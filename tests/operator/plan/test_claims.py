import dataclasses

import pytest

from tests.operator.builders import condition, example, plan_of, policy, settled_policy
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.keys import Key
from tokenflow_operator.plan.claims import claim_problems, upstream_address
from tokenflow_operator.snapshot import Policy


def claiming(name: str, *, tenants: list[str], url: str = "http://llama:8000", namespace: str = "default") -> Policy:
    document = example("pacingpolicy.yaml") | {
        "tenants": [{"name": tenant} for tenant in tenants],
        "gateway": {"upstreams": [{"name": "llama", "url": url}]},
    }
    resource = policy(PacingPolicySpec.model_validate(document), name=name)
    return dataclasses.replace(resource, key=Key(kind="PacingPolicy", namespace=namespace, name=name))


def messages(mine: Policy, *others: Policy) -> list[tuple[str, str]]:
    return [(p.reason.value, p.message) for p in claim_problems(mine, (mine, *others))]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://llama:8000", "llama.llm.svc:8000"),
        ("http://llama.llm:8000/", "llama.llm.svc:8000"),
        ("http://LLAMA.llm.svc:8000", "llama.llm.svc:8000"),
        ("http://llama.llm.svc.cluster.local.:8000", "llama.llm.svc:8000"),
        ("http://llama", "llama.llm.svc:80"),
        ("https://api.example.com/openai/", "api.example.com:443/openai"),
        ("https://api.example.com:443/openai", "api.example.com:443/openai"),
        ("http://[fd00::1]:8000", "fd00::1:8000"),
    ],
)
def test_names_of_one_place_are_one_address(url: str, address: str) -> None:
    assert upstream_address(url, namespace="llm") == address


def test_a_tenant_of_two_policies_is_named_in_both() -> None:
    one, other = claiming("one", tenants=["gold", "free"]), claiming("other", tenants=["gold"], url="http://b:1")
    assert messages(one, other) == [
        (
            "TenantClaimedTwice",
            "spec.tenants: gold (also in default/other): their limits add up: name each tenant in one policy alone",
        )
    ]
    assert "gold (also in default/one)" in messages(other, one)[0][1]


def test_tenants_of_other_namespaces_are_others() -> None:
    assert (
        messages(
            claiming("one", tenants=["gold"], url="http://a:1"),
            claiming("one", tenants=["gold"], url="http://a:1", namespace="elsewhere"),
        )
        == []
    )


def test_an_upstream_is_the_same_from_any_namespace() -> None:
    one = claiming("one", tenants=["a"], url="http://llama:8000")
    other = claiming("other", tenants=["b"], url="http://llama.default.svc:8000/", namespace="elsewhere")
    ((reason, message),) = messages(one, other)
    assert reason == "UpstreamClaimedTwice"
    assert "llama (also in elsewhere/other)" in message


def test_many_claims_are_summed_up() -> None:
    tenants = [f"t{n}" for n in range(7)]
    ((_, message),) = messages(
        claiming("one", tenants=tenants, url="http://a:1"), claiming("other", tenants=tenants, url="http://b:1")
    )
    assert "t0 (also in default/other)" in message
    assert "and 2 more" in message


def test_a_policy_with_a_shared_claim_serves_on() -> None:
    mine = policy()
    other = claiming("other", tenants=["gold"], url="http://b:1")
    planned = plan_of(settled_policy(mine, policies=(mine, other)))
    assert condition(planned, "Ready")["status"] == "True"
    assert condition(planned, "Degraded")["reason"] == "TenantClaimedTwice"
