"""GET /v1/explain/{tenant}."""

import asyncio
from typing import Any

import pytest

from tests.hintsvc.api.conftest import Ask
from tests.hintsvc.support import RedisServer

pytestmark = pytest.mark.redis


async def explained(ask: Ask, *, tenant: str = "gold", key: str = "gold-key") -> dict[str, Any]:
    """Ask until the leader has explained the path: it does so once a second."""
    for _ in range(600):
        status, answer = await ask(f"/v1/explain/{tenant}", key=key)
        if status == 200 and len(answer["explanations"]) == 2:
            return answer
        await asyncio.sleep(0.05)
    pytest.fail(f"nothing was explained in 30 s: {status} {answer}")


async def test_a_tenant_reads_how_its_rate_came_about(ask: Ask) -> None:
    answer = await explained(ask)
    assert answer["tenant"] == "gold"
    whole, of_path = answer["explanations"]
    assert (whole["hint"]["path"], whole["steps"]) == ("*", [])
    assert of_path["hint"]["path"] == "llama/10.0.0.0/24"
    assert [step["name"] for step in of_path["steps"]] == ["law", "share", "model", "slew", "bounds", "quota"]
    assert {term["signal"] for term in of_path["terms"]} >= {"RTTInflation", "Retransmits"}


async def test_nobody_reads_of_another_tenant(ask: Ask) -> None:
    status, answer = await ask("/v1/explain/gold")
    assert (status, answer["code"]) == (403, "TenantNotReadable")
    assert (await explained(ask, tenant="open", key=""))["tenant"] == "open"


async def test_without_redis_it_says_so(ask: Ask, redis_server: RedisServer) -> None:
    redis_server.stop()
    status, answer = await ask("/v1/explain/gold", key="gold-key")
    assert (status, answer["code"]) == (503, "StoreUnavailable")
    assert (await ask("/v1/health"))[0] == 200
