"""What is served besides completions, and what every answer tells."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.gateway.support import Setup, eventually, hint, running, served
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway import metrics

ASK = {"model": "llama-3", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}


async def get(setup: Setup, path: str, **headers: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{setup.url}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def test_the_state_of_all_parts_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        await setup.told(hint(50.0))
        assert await get(setup, "/healthz") == (200, {"status": "ok"})
        status, details = await get(setup, "/readyz")
    assert status == 200
    assert details["ready"]
    assert details["config"] == {"generation": 1, "source": "file", "error": ""}
    assert details["hints"]["connected"]
    assert details["upstreams"] == [{"name": "llama", "breaker": "Closed", "inFlight": 0}]
    assert (details["streams"], details["requests"], details["waiting"]) == (0, 0, 0)


async def test_a_model_is_described_by_its_name_and_an_unknown_one_is_not(tmp_path: Path) -> None:
    async with running(tmp_path) as setup:
        assert (await get(setup, "/v1/models/llama-3"))[1]["id"] == "llama-3"
        status, body = await get(setup, "/v1/models/no/such")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_a_model_whose_name_has_a_slash_is_found_however_it_is_written(tmp_path: Path) -> None:
    async with served(web.Application()) as upstream:
        upstreams = [{"name": "llama", "url": upstream, "models": ["meta-llama/Llama 3"]}]
        async with running(tmp_path, gateway={"replicas": 1, "upstreams": upstreams}) as setup:
            assert (await setup.client.models.retrieve("meta-llama/Llama 3")).id == "meta-llama/Llama 3"
            assert (await get(setup, "/v1/models/meta-llama/Llama%203"))[1]["id"] == "meta-llama/Llama 3"


async def test_a_reader_who_leaves_a_request_that_is_passed_on_is_counted(tmp_path: Path) -> None:
    asked, labels = asyncio.Event(), {"tenant": "gold", "route": "~other", "status": "499"}

    def left() -> float:
        return metrics.REGISTRY.get_sample_value("tokenflow_gateway_requests_total", labels) or 0.0

    async def never(_: web.Request) -> web.Response:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    app, before = web.Application(), left()
    app.router.add_get("/other", never)
    async with served(app) as upstream:
        gateway = {"replicas": 1, "upstreams": [{"name": "llama", "url": upstream}], "unknownPaths": "Pass"}
        async with running(tmp_path, gateway=gateway) as setup, aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.get(f"{setup.url}/other"))
            async with asyncio.timeout(30):
                await asked.wait()
            asking.cancel()
            await eventually(lambda: setup.gateway.door.running == 0)
    assert left() == before + 1


async def test_an_answer_tells_its_limits_its_upstream_and_its_trace(tmp_path: Path) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with (
        running(tmp_path) as setup,
        aiohttp.ClientSession() as session,
        session.post(
            f"{setup.url}/v1/chat/completions",
            json=ASK,
            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
        ) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "600"
        assert int(answer.headers["x-ratelimit-remaining-requests"]) < 600
        assert answer.headers["x-tokenflow-upstream"] == "llama"
        assert answer.headers["x-tokenflow-trace-id"] == trace
        assert float(answer.headers["x-tokenflow-overhead-ms"]) >= 0


async def test_a_refusal_names_its_trace(tmp_path: Path) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with running(tmp_path) as setup:
        status, body = await get(setup, "/v1/files", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert status == 404
    assert body["error"]["trace_id"] == trace
    assert "spec.gateway.unknownPaths" in body["error"]["message"]


class Engine:
    """An upstream with a path that the gateway does not know."""

    def __init__(self) -> None:
        self.asked: web.Request | None = None
        self.body = b""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/rerank", self._rerank)
        return app

    async def _rerank(self, request: web.Request) -> web.StreamResponse:
        self.asked, self.body = request, await request.read()
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Set-Cookie": "a=b"})
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(b"x" * 65536)
        return answer


async def test_unknown_paths_pass_where_the_policy_says_so(tmp_path: Path) -> None:
    engine = Engine()
    async with served(engine.app()) as upstream:
        spec = {"upstreams": [{"name": "llama", "url": upstream}], "unknownPaths": "Pass", "replicas": 1}
        async with (
            running(tmp_path, gateway=spec) as setup,
            aiohttp.ClientSession() as session,
            session.post(f"{setup.url}/v1/rerank?top=3", data=b"{}", headers={"Authorization": "Bearer sk"}) as answer,
        ):
            assert answer.status == 200
            assert len(await answer.read()) == 64 * 65536
            assert "Set-Cookie" not in answer.headers
            assert answer.content_type == "application/x-ndjson"
    assert engine.asked
    assert engine.asked.query_string == "top=3"
    assert engine.body == b"{}"
    assert "Authorization" not in engine.asked.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer sk-wrong"}, 401), ({"Authorization": "Bearer sk-gold"}, 200)],
)
async def test_a_tenant_with_keys_is_known_by_them(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "key").write_text("sk-gold")
    async with running(tmp_path, tenants=[{"name": "gold", "apiKeysSecretRef": {"name": "keys"}}]) as setup:
        assert (await get(setup, "/v1/models", **headers))[0] == status


async def test_networks_are_heeded(tmp_path: Path) -> None:
    async with running(tmp_path, security={"allowCIDRs": ["192.0.2.0/24"]}) as setup:
        status, body = await get(setup, "/v1/models")
        assert (await get(setup, "/readyz"))[0] == 200
    assert (status, body["error"]["code"]) == (403, "address_not_allowed")


async def test_a_request_is_counted_once_however_it_ends(tmp_path: Path) -> None:
    def counted() -> Counter[str]:
        found = Counter[str]()
        for family in metrics.REGISTRY.collect():
            for sample in family.samples:
                if sample.name == "tokenflow_gateway_requests_total" and sample.labels["tenant"] == "once":
                    found[sample.labels["status"]] += round(sample.value)
        return found

    tenants = [{"name": "once"}]
    async with running(tmp_path, tenants=tenants) as setup, aiohttp.ClientSession() as session:
        for body, status in ((ASK, 200), (ASK | {"model": "none"}, 404), ({"model": "llama-3"}, 422)):
            async with session.post(f"{setup.url}/v1/chat/completions", json=body) as answer:
                assert answer.status == status
        assert (await get(setup, "/v1/nothing"))[0] == 404
    assert counted() == {"200": 1, "404": 2, "422": 1}


async def test_a_policy_that_changes_counts_for_the_readers_who_come_then(tmp_path: Path) -> None:
    async with running(tmp_path) as setup, aiohttp.ClientSession() as session:
        changed = setup.gateway.config.model_dump(mode="json", by_alias=True)
        changed["generation"] = 2
        changed["spec"]["tenants"][0]["maxTokensPerRequest"] = 2
        setup.hints.configure(RuntimeConfig.model_validate(changed))
        await eventually(lambda: setup.gateway.config.generation == 2)
        async with session.post(f"{setup.url}/v1/chat/completions", json=ASK) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "max_tokens_exceeded"


async def test_a_request_that_nobody_could_answer_costs_its_tenant_nothing(tmp_path: Path) -> None:
    tenants = [{"name": "gold", "requestsPerMinute": 1}]
    async with running(tmp_path, tenants=tenants) as setup, aiohttp.ClientSession() as session:
        for model, status in (("none", 404), ("none", 404), ("llama-3", 200), ("llama-3", 429)):
            async with session.post(f"{setup.url}/v1/chat/completions", json=ASK | {"model": model}) as answer:
                assert answer.status == status
