"""What a tenant used, over HTTP."""

import signal
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.hintsvc.support import RedisServer, ReplicaProcess, replicas, runtime

pytestmark = pytest.mark.redis

TENANTS = [
    {
        "name": "gold",
        "price": {
            "currency": "EUR",
            "inputMicrosPerMillionTokens": 500_000,
            "outputMicrosPerMillionTokens": 1_500_000,
        },
    },
    {"name": "silver", "apiKeysSecretRef": {"name": "silver-keys"}},
]


@pytest.fixture
def runtime_file(tmp_path: Path) -> Path:
    file = tmp_path / "runtime.json"
    file.write_text(runtime(tenants=TENANTS).model_dump_json())
    return file


async def use(replica: ReplicaProcess, *, input_tokens: int, output_tokens: int) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(replica.url + "/v1/admit", json={"tenant": "gold", "max_tokens": 10}) as answer:
            reservation = (await answer.json())["reservation"]
        done = {"input_tokens": input_tokens, "output_tokens": output_tokens, "duration_ms": 250}
        async with session.post(replica.url + "/v1/commit", json=done | {"reservation": reservation}) as answer:
            assert (await answer.json())["committed"]


async def test_every_replica_tells_what_all_of_them_counted(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(2, redis=redis_server, file=runtime_file) as (one, two):
        await use(one, input_tokens=3, output_tokens=4)
        await use(two, input_tokens=10, output_tokens=20)
        await one.becomes("/v1/usage/gold", lambda answer: answer["duration_ms"] == 500, timeout_s=30)
        # A replica that leaves writes what it has; half a micro counts as a whole one.
        two.process.send_signal(signal.SIGTERM)
        await two.process.wait()
        _, used = await one.get("/v1/usage/gold")
        assert (used["requests"], used["input_tokens"], used["output_tokens"]) == (2, 13, 24)
        (cost,) = used["costs"]
        assert (cost["currency"], cost["output_micros"]) == ("EUR", 36)
        # 1.5 at one, of which the half is still carried, and 5 at the other.
        assert cost["input_micros"] == 6
        assert used["to_unix_ms"] - used["from_unix_ms"] == 24 * 3_600_000
        status, before = await one.get("/v1/usage/gold?from=2026-01-01T00:00:00Z&to=2026-01-02T10:30:00Z")
        assert (status, before["requests"], before["costs"]) == (200, 0, [])
        assert before["to_unix_ms"] == 1_767_351_600_000


async def test_times_are_checked(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(1, redis=redis_server, file=runtime_file) as (replica,):
        for query, field in (
            ("from=yesterday", "from"),
            ("to=2026-01-01T00:00:00", "to"),
            ("from=1969-12-31T00:00:00Z", "from"),
            ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
            ("from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z", "from"),
            (f"from={quote('2026-01-01T00:00:00+99:00')}", "from"),
            ("from=9999-12-31T23:59:59Z", "from"),
            (f"from={'1' * 5000}", "from"),
            (f"from={quote('2026-01-01T00:00:00.00000000000000+00:00 or so')}", "from"),
        ):
            status, problem = await replica.get(f"/v1/usage/gold?{query}")
            assert (status, problem["code"], problem["field"]) == (400, "BadTime", field), query


async def test_usage_is_for_its_tenant_alone(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(1, redis=redis_server, file=runtime_file) as (replica,):
        for path in ("/v1/usage/silver", "/v1/usage/nobody"):
            status, problem = await replica.get(path)
            assert (status, problem["code"]) == (403, "TenantNotReadable")
