"""GET /v1/health."""

import pytest

from tests.hintsvc.api.conftest import Ask

pytestmark = pytest.mark.redis


async def test_a_tenant_sees_the_whole_and_its_own_paths(ask: Ask) -> None:
    status, answer = await ask("/v1/health", key="gold-key")
    assert status == 200
    assert 0.0 < answer["health"] <= 1.0
    assert 0.0 < answer["uncertainty"] < 1.0
    assert answer["stale"] is False
    assert {hint["tenant"] for hint in answer["paths"]} == {"gold", "open"}


async def test_others_see_those_of_tenants_without_keys(ask: Ask) -> None:
    status, answer = await ask("/v1/health")
    assert status == 200
    assert [(hint["tenant"], hint["path"]) for hint in answer["paths"]] == [("open", "llama/10.0.0.0/24")]


async def test_nodes_and_the_model_are_for_roles(ask: Ask) -> None:
    _, answer = await ask("/v1/health", key="gold-key")
    assert answer["nodes"] == []
    assert answer["model"] is None
