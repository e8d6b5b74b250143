"""Asking for room over HTTP."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.hintsvc.support import RedisServer, ReplicaProcess, replicas, runtime

pytestmark = pytest.mark.redis

TENANTS = [
    {"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}, "requestsPerMinute": 3, "maxTokensPerRequest": 4096},
    {"name": "silver", "apiKeysSecretRef": {"name": "silver-keys"}},
    {"name": "open"},
]
RATELIMITS = [f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")]


@pytest.fixture
async def running(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[list[ReplicaProcess]]:
    for tenant in ("gold", "silver"):
        (tmp_path / "tenants" / tenant).mkdir(parents=True)
        (tmp_path / "tenants" / tenant / "key").write_text(f"tfk_the-key-of-{tenant}")
    file = tmp_path / "runtime.json"
    file.write_text(runtime(tenants=TENANTS).model_dump_json())
    async with replicas(2, redis=redis_server, file=file) as started:
        # A Redis that knows nothing lets every replica tell what it knows first.
        await shared(started)
        yield started


async def shared(started: list[ReplicaProcess]) -> None:
    """Wait until the shared quotas decide, at every replica."""
    for replica in started:
        await decides(replica, local=False)


async def decides(replica: ReplicaProcess, *, local: bool) -> None:
    """Ask until a replica decides on its own, or until the shared quotas do."""
    for _ in range(200):
        _, _, reply = await post(replica, "/v1/admit", {"tenant": "open", "max_tokens": 1})
        if reply["local"] is local:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{reply} is still not {local=}")


async def post(
    replica: ReplicaProcess, path: str, document: object, *, tenant: str = "", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], dict[str, Any]]:
    sent = {"Authorization": f"Bearer tfk_the-key-of-{tenant}"} if tenant else {}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(replica.url + path, data=body, headers=sent | (headers or {})) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.json(content_type=None)


async def test_a_request_is_admitted_here_and_committed_there_once(running: list[ReplicaProcess]) -> None:
    one, two = running
    asked = {"tenant": "gold", "max_tokens": 100, "input_tokens": 20}
    status, headers, reply = await post(one, "/v1/admit", asked, tenant="gold")
    assert (status, reply["admitted"], reply["reserved_tokens"]) == (200, True, 120)
    assert [name for name in RATELIMITS if name not in headers] == []
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("3", "2")
    done = {"reservation": reply["reservation"], "input_tokens": 20, "output_tokens": 30, "duration_ms": 1200}
    status, _, committed = await post(two, "/v1/commit", done, tenant="gold")
    assert (status, committed["committed"], committed["returned_tokens"]) == (200, True, 70)
    status, _, committed = await post(one, "/v1/commit", done, tenant="gold")
    assert (status, committed["committed"], committed["returned_tokens"]) == (200, False, 0)


async def test_a_refusal_is_what_clients_of_openai_know(running: list[ReplicaProcess]) -> None:
    for index in range(3):
        await post(running[index % 2], "/v1/admit", {"tenant": "gold", "max_tokens": 1}, tenant="gold")
    status, headers, problem = await post(running[0], "/v1/admit", {"tenant": "gold", "max_tokens": 1}, tenant="gold")
    assert (status, headers["Content-Type"].partition(";")[0]) == (429, "application/problem+json")
    assert 50 <= int(headers["Retry-After"]) <= 61
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert (problem["code"], problem["remedy"]) == ("RequestsPerMinute", "wait, or raise requestsPerMinute")
    assert problem["admission"]["admitted"] is False
    assert problem["trace_id"]


async def test_too_many_tokens_are_refused_for_good(running: list[ReplicaProcess]) -> None:
    asked = {"tenant": "gold", "max_tokens": 4097}
    status, headers, problem = await post(running[0], "/v1/admit", asked, tenant="gold")
    assert (status, problem["code"], problem["field"]) == (400, "MaxTokensPerRequest", "max_tokens")
    assert "Retry-After" not in headers


async def test_a_key_is_good_for_its_own_tenant_alone(running: list[ReplicaProcess]) -> None:
    status, _, problem = await post(running[0], "/v1/admit", {"tenant": "gold"}, tenant="silver")
    assert (status, problem["code"]) == (403, "TenantNotReadable")
    status, _, reply = await post(running[0], "/v1/admit", {"tenant": "gold", "max_tokens": 5}, tenant="gold")
    assert status == 200
    status, _, problem = await post(running[1], "/v1/commit", {"reservation": reply["reservation"]}, tenant="silver")
    assert (status, problem["code"]) == (403, "TenantNotReadable")


@pytest.mark.parametrize("reservation", ["", "garbage", "é", "A" * 400, "A" * 100_000])
async def test_a_reservation_that_nobody_made_is_refused(running: list[ReplicaProcess], reservation: str) -> None:
    status, _, problem = await post(running[0], "/v1/commit", {"reservation": reservation}, tenant="gold")
    assert status in (400, 413)
    assert problem["remedy"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"tenant": "open", "max_tokens": -1}', "max_tokens"),
        (b'{"tenant": 1}', "tenant"),
    ],
)
async def test_a_bad_document_is_told_where(running: list[ReplicaProcess], body: bytes, field: str) -> None:
    status, _, problem = await post(running[0], "/v1/admit", body)
    assert (status, problem["code"], problem["field"]) == (400, "BadDocument", field)


async def test_without_redis_a_replica_decides_on_its_own(
    running: list[ReplicaProcess], redis_server: RedisServer
) -> None:
    redis_server.stop()
    await decides(running[0], local=True)
    status, _, reply = await post(running[0], "/v1/admit", {"tenant": "silver", "max_tokens": 1}, tenant="silver")
    assert (status, reply["admitted"], reply["local"]) == (200, True, True)
    redis_server.start()
    await shared(running)


async def test_a_frozen_redis_holds_up_nobody(running: list[ReplicaProcess], redis_server: RedisServer) -> None:
    assert redis_server.process
    redis_server.process.send_signal(signal.SIGSTOP)
    await decides(running[0], local=True)
    redis_server.process.send_signal(signal.SIGCONT)
    await shared(running)
