"""Every endpoint for every kind of caller, over a real replica."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from e2e.bench.proc import free_port
from tests.hintsvc.support import RedisServer, ReplicaProcess, replicas, runtime
from tests.serving.authority import Authority
from tests.serving.issuer import ISSUER, Issuer
from tokenflow_api.api_keys import hashed_line
from tokenflow_api.cluster import ClusterView, KeyExpiry
from tokenflow_api.codec import CONTENT_TYPE, encode
from tokenflow_api.runtime import Grant, Role
from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_hintsvc.api.application import ENDPOINTS

pytestmark = pytest.mark.redis

CALLERS = ("nobody", "gold key", "gold jwt", "silver key", "ended key", "forged", "agent", "gateway", "operator")

# One status for each of CALLERS, in their order. A tenant's own data is for it, for gateways, and for nobody else.
OWN = (403, 200, 200, 403, 401, 401, 404, 200, 404)
USAGE = (403, 200, 200, 403, 401, 401, 404, 200, 200)
ANYONE = (200, 200, 200, 200, 401, 401, 200, 200, 200)
PUBLIC = (200,) * 9
EXPECTED: dict[tuple[str, str], tuple[int, ...]] = {
    ("POST", "/v1/telemetry"): (401, 403, 403, 403, 401, 401, 200, 403, 403),
    ("GET", "/v1/hints/stream"): ANYONE,
    ("GET", "/v1/hints/{tenant}"): OWN,
    ("GET", "/v1/health"): ANYONE,
    ("GET", "/v1/explain/{tenant}"): OWN,
    ("POST", "/v1/admit"): OWN,
    ("POST", "/v1/commit"): OWN,
    ("GET", "/v1/usage/{tenant}"): USAGE,
    ("GET", "/v1/config"): (401, 403, 403, 403, 401, 401, 403, 200, 403),
    ("GET", "/v1/cluster"): (401, 403, 403, 403, 401, 401, 403, 403, 200),
    ("GET", "/v1/audit"): (401, 403, 403, 403, 401, 401, 403, 403, 200),
    ("GET", "/debug/state"): (401, 403, 403, 403, 401, 401, 403, 403, 200),
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/openapi.json"): ANYONE,
}


def batch(sequence: int) -> bytes:
    return encode(
        TelemetryBatch(
            reporter=Reporter.AGENT,
            agent="default/nodes",
            node="node-1",
            boot_id="b",
            sequence=sequence,
            sent_at_unix_ms=time.time_ns() // 1_000_000,
        )
    )


@asynccontextmanager
async def published(issuer: Issuer, authority: Authority, directory: Path, port: int) -> AsyncIterator[None]:
    """Serve the keys of an issuer by https."""

    async def keys(_: web.Request) -> web.Response:
        return web.json_response((await issuer.fetch()).document)

    authority.issue(directory, "issuer")
    app = web.Application()
    app.add_routes([web.get("/keys", keys)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=authority.server(directory)).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(
    redis: RedisServer, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[ReplicaProcess, dict[str, str]]]:
    """Run a replica, and return it with a credential of each caller."""
    authority, cluster, issuer = Authority("ca"), Issuer(), Issuer("https://issuer.example")
    port = free_port()
    jwt = {"issuer": issuer.name, "audience": "tokenflow", "jwksURL": f"https://127.0.0.1:{port}/keys"}
    (directory / "ca.crt").write_bytes(authority.pem)
    (directory / "jwks.json").write_text(json.dumps((await cluster.fetch()).document))
    for tenant in ("gold", "silver"):
        (directory / "tenants" / tenant).mkdir(parents=True)
        (directory / "tenants" / tenant / "key").write_text(hashed_line(f"sk-{tenant}"))
    (directory / "tenants" / "silver" / "last").write_text("sk-last not-after=2100-01-01T00:00:00Z")
    (directory / "tenants" / "gold" / "old").write_text("sk-old not-after=2026-01-01T00:00:00Z")
    config = runtime(
        tenants=[{"name": name, "apiKeysSecretRef": {"name": f"{name}-keys"}} for name in ("gold", "silver")],
        security={"jwt": jwt, "requestsPerSecondPerIP": 10_000, "requestsPerSecondPerKey": 10_000},
    )
    accounts = {"nodes-agent": Role.AGENT, "demo-gateway": Role.GATEWAY, "operator": Role.OPERATOR}
    grants = [Grant(namespace="default", service_account=name, role=role) for name, role in accounts.items()]
    (directory / "runtime.json").write_text(config.model_copy(update={"grants": grants}).model_dump_json())
    monkeypatch.setenv("SSL_CERT_FILE", str(directory / "ca.crt"))
    credentials = {
        "nobody": "",
        "gold key": "sk-gold",
        "gold jwt": issuer.signed(aud="tokenflow", tenant="gold"),
        "silver key": "sk-silver",
        "ended key": "sk-old",
        "forged": Issuer().token(account="operator"),
        "agent": cluster.token(account="nodes-agent"),
        "gateway": cluster.token(account="demo-gateway"),
        "operator": cluster.token(account="operator"),
    }
    options = ("--token-keys", str(directory / "jwks.json"), "--token-issuer", ISSUER)
    async with (
        published(issuer, authority, directory / "issuer", port),
        replicas(1, redis=redis, file=directory / "runtime.json", options=options) as (replica,),
    ):
        yield replica, credentials


def body(path: str, *, reservation: str, sequence: int) -> bytes:
    match path:
        case "/v1/telemetry":
            return batch(sequence)
        case "/v1/admit":
            return json.dumps({"tenant": "gold", "max_tokens": 1}).encode()
        case "/v1/commit":
            return json.dumps({"reservation": reservation}).encode()
        case _:
            return b""


async def test_each_caller_may_do_what_is_theirs_and_nothing_else(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS} == EXPECTED.keys()
    async with (
        served(redis_server, tmp_path, monkeypatch) as (replica, credentials),
        aiohttp.ClientSession() as session,
    ):
        owner = {"Authorization": f"Bearer {credentials['gold key']}"}
        async with session.post(
            f"{replica.url}/v1/admit", json={"tenant": "gold", "max_tokens": 1}, headers=owner
        ) as answer:
            reservation = (await answer.json())["reservation"]
        answered: dict[tuple[str, str], tuple[int, ...]] = {}
        for method, path in EXPECTED:
            statuses = []
            for sequence, caller in enumerate(CALLERS, start=1):
                headers = {"Content-Type": CONTENT_TYPE if path == "/v1/telemetry" else "application/json"}
                if credentials[caller]:
                    headers["Authorization"] = f"Bearer {credentials[caller]}"
                async with session.request(
                    method,
                    replica.url + path.replace("{tenant}", "gold"),
                    headers=headers,
                    data=body(path, reservation=reservation, sequence=sequence) or None,
                ) as answer:
                    statuses.append(answer.status)
            answered[method, path] = tuple(statuses)
        assert answered == EXPECTED


async def test_streams_and_health_hold_only_what_the_caller_may_read(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        served(redis_server, tmp_path, monkeypatch) as (replica, credentials),
        aiohttp.ClientSession() as session,
    ):
        await _told_of_a_node(session, replica, credentials)
        for caller, tenants in (("nobody", set()), ("gold key", {"gold"}), ("gateway", {"gold", "silver"})):
            headers = {"Authorization": f"Bearer {credentials[caller]}"} if credentials[caller] else {}
            for url in (replica.url, replica.fast_url):
                async with session.get(f"{url}/v1/hints/stream", headers=headers) as answer:
                    seen = await _first_snapshot(answer.content)
                assert {hint["tenant"] for hint in seen["hints"]} == tenants
            async with session.get(f"{replica.url}/v1/health", headers=headers) as answer:
                told = await answer.json()
            assert {hint["tenant"] for hint in told["paths"]} <= tenants
            assert [node["node"] for node in told["nodes"]] == (["node-1"] if caller == "gateway" else [])


async def _told_of_a_node(session: aiohttp.ClientSession, replica: ReplicaProcess, credentials: dict[str, str]) -> None:
    """Report a node, and wait until its health is known."""
    agent = {"Authorization": f"Bearer {credentials['agent']}", "Content-Type": CONTENT_TYPE}
    async with session.post(f"{replica.url}/v1/telemetry", data=batch(1), headers=agent) as answer:
        assert answer.status == 200
    gateway = {"Authorization": f"Bearer {credentials['gateway']}"}
    async with asyncio.timeout(30):
        while True:
            async with session.get(f"{replica.url}/v1/health", headers=gateway) as answer:
                if (await answer.json())["nodes"]:
                    return
            await asyncio.sleep(0.05)


async def _first_snapshot(content: aiohttp.StreamReader) -> dict[str, list[dict[str, str]]]:
    event = b""
    async for line in content:
        if line.startswith(b"event: "):
            event = line.removeprefix(b"event: ").strip()
        elif line.startswith(b"data: ") and event == b"snapshot":
            snapshot: dict[str, list[dict[str, str]]] = json.loads(line.removeprefix(b"data: "))
            return snapshot
    pytest.fail("the stream ended without a snapshot")


async def test_what_was_denied_is_on_record(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        served(redis_server, tmp_path, monkeypatch) as (replica, credentials),
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {credentials['silver key']}"}) as session,
    ):
        for url in (replica.url, replica.fast_url):
            async with session.get(f"{url}/v1/hints/gold") as answer:
                assert answer.status == 403
        operator = {"Authorization": f"Bearer {credentials['operator']}"}
        denied: list[dict[str, object]] = []
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and sum(int(str(entry["count"])) for entry in denied) < 2:
            async with session.get(f"{replica.url}/v1/audit?limit=10", headers=operator) as answer:
                entries = (await answer.json())["entries"]
            denied = [entry for entry in entries if entry["outcome"] == "Denied"]
        assert {entry["action"] for entry in denied} == {"GET /v1/hints/{tenant}"}
        assert {entry["subject"] for entry in denied} == {"tenant:silver"}
        assert {entry["reason"] for entry in denied} == {"TenantNotReadable"}
        assert {entry["address"] for entry in denied} == {"127.0.0.1"}
        assert "sk-" not in json.dumps(entries)


async def test_the_operator_learns_when_keys_end(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        served(redis_server, tmp_path, monkeypatch) as (replica, credentials),
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {credentials['operator']}"}) as session,
        session.get(f"{replica.url}/v1/cluster") as answer,
    ):
        view = ClusterView.model_validate_json(await answer.read())
    assert view.keys == [KeyExpiry(tenant="silver", ends_unix_ms=4_102_444_800_000)]
    assert view.certificate_ends_unix_ms is None


async def test_what_needs_redis_says_when_to_ask_again(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        served(redis_server, tmp_path, monkeypatch) as (replica, credentials),
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {credentials['operator']}"}) as session,
    ):
        redis_server.stop()
        for path in ("/v1/cluster", "/v1/audit", "/v1/usage/gold"):
            async with session.get(replica.url + path) as answer:
                problem = await answer.json(content_type=None)
            assert (answer.status, problem["code"], answer.headers["Retry-After"]) == (503, "StoreUnavailable", "1")


async def test_nobody_inherits_a_connection(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(redis_server, tmp_path, monkeypatch) as (replica, credentials):
        for url in (replica.url, replica.fast_url):
            # As a proxy does that sends the requests of many callers over one connection.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
                statuses = []
                for caller in (
                    "gold key",
                    "ended key",
                    "ended key",
                    "gold jwt",
                    "forged",
                    "forged",
                    "nobody",
                    "gateway",
                ):
                    headers = {"Authorization": f"Bearer {credentials[caller]}"} if credentials[caller] else {}
                    async with session.get(f"{url}/v1/hints/gold", headers=headers) as answer:
                        statuses.append(answer.status)
                assert statuses == [200, 401, 401, 200, 401, 401, 403, 200]
