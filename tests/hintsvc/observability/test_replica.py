"""What a replica as a process of its own tells of itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.bench.hintsvc.cluster import Cluster, cluster
from tests.hintsvc.support import RedisServer
from tests.serving.collector import Collector, collector
from tokenflow_api.runtime import Role

pytestmark = pytest.mark.redis

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
API_KEY = "tfk_bench-gold-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
async def watched(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Cluster, Collector]]:
    """One replica that exports to a collector."""
    async with collector() as (taking, endpoint):
        spec = {"observability": {"otlpEndpoint": endpoint, "logLevel": "Debug"}}
        async with cluster(tmp_path, redis=redis_server.url, replicas=1, spec=spec) as running:
            yield running, taking
            running.replicas[0].program.kill()


def token(running: Cluster, role: Role) -> str:
    return running.issuer.token(role, pod="pod", node="node")


async def ask(running: Cluster, path: str, *, secret: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"traceparent": TRACEPARENT} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    url = f"http://127.0.0.1:{running.replicas[0].api_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_an_administrator_may_look_into_it_and_others_may_not(watched: tuple[Cluster, Collector]) -> None:
    running, _ = watched
    status, state = await ask(running, "/debug/state", secret=token(running, Role.OPERATOR))
    assert status == 200
    assert state["replica"] == "replica-0"
    assert state["config"]["generation"] == 1
    assert state["config"]["origin"] == "file"
    assert state["leadership"]["leading"]
    assert {"tenant": "gold", "requests": 0, "tokens": 0, "waiting": 0} in state["leases"]
    assert state["redis"]["reachable"]
    assert state["redis"]["leader"] == "replica-0"
    assert state["process"]["resident_bytes"] < 150_000_000
    assert (await ask(running, "/debug/state"))[0] == 401
    for secret in (API_KEY, token(running, Role.AGENT), token(running, Role.GATEWAY)):
        assert (await ask(running, "/debug/state", secret=secret))[0] == 403


async def test_a_request_is_followed_from_its_caller_to_the_collector(watched: tuple[Cluster, Collector]) -> None:
    running, taking = watched
    _, problem = await ask(running, "/v1/hints/nobody?secret=hidden", secret=API_KEY)
    assert problem["trace_id"] == TRACE_ID

    def spans() -> list[Any]:
        return [span for entry in taking.spans.resource_spans for scope in entry.scope_spans for span in scope.spans]

    async with asyncio.timeout(30):
        while not any(span.trace_id.hex() == TRACE_ID for span in spans()):
            await taking.was_asked("/v1/traces")
    (span,) = (span for span in spans() if span.trace_id.hex() == TRACE_ID)
    assert span.name == "GET /v1/hints/{tenant}"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    exported = str(spans())
    assert API_KEY not in exported
    assert "hidden" not in exported


async def test_its_log_is_json_without_secrets(watched: tuple[Cluster, Collector]) -> None:
    running, _ = watched
    await ask(running, "/v1/hints/gold", secret=API_KEY + "x")
    text = (running.directory / "replica-0.log").read_text()
    assert all(json.loads(line)["component"] == "hintsvc" for line in text.splitlines())
    assert "tfk_bench" not in text
