"""Doors of gateways against real replicas of the hint service and a real Redis."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.admission.support import wanted
from tests.gateway.support import eventually
from tests.hintsvc.conftest import redis_server
from tests.hintsvc.support import RedisServer, ReplicaProcess, replicas, runtime
from tokenflow_api.quota import AdmitRequest, CommitReply, CommitRequest
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.admission.door import Door
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.stream.usage import Usage

pytestmark = pytest.mark.redis
__all__ = ["redis_server"]

USED = Usage(input_tokens=10, output_tokens=20, measured=True)


def policy(*, failure_mode: str = "Local") -> RuntimeConfig:
    return runtime(
        failureMode=failure_mode,
        security={"requestsPerSecondPerIP": 100_000, "requestsPerSecondPerKey": 100_000},
        tenants=[
            {"name": "gold", "requestsPerMinute": 60, "tokensPerMinute": 10**6, "burstTokens": 10**6},
            {"name": "probe", "requestsPerMinute": 10**6},
        ],
        hintService={"replicas": 2},
        gateway={"upstreams": [{"name": "llama", "url": "http://llama"}], "replicas": 2},
    )


@asynccontextmanager
async def service(
    redis: RedisServer, config: RuntimeConfig, directory: Path, *, number: int = 1
) -> AsyncIterator[list[ReplicaProcess]]:
    file = directory / "runtime.json"
    file.write_text(config.model_dump_json(by_alias=True))
    async with replicas(number, redis=redis, file=file) as running:
        # A Redis that knows nothing lets every replica tell what it knows first.
        await asyncio.gather(*(shared(replica.url) for replica in running))
        yield running


async def shared(url: str) -> None:
    """Wait until the shared quota decides, by asking for a tenant that nobody else asks for."""
    body = {"tenant": "probe", "max_tokens": 1, "stream": False}
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            async with session.post(f"{url}/v1/admit", json=body) as answer:
                told = await answer.json(content_type=None)
            if not told.get("admission", told).get("local", True):
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def gateways(urls: Sequence[str], config: RuntimeConfig) -> AsyncIterator[list[Door]]:
    """Run a gateway's door for each of ``urls``, of the replica that it asks."""
    clients = [QuotaClient(url) for url in urls]
    doors = [Door(client, config=config) for client in clients]
    tasks = [asyncio.create_task(door.run()) for door in doors]
    try:
        yield doors
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            client.close()
        await asyncio.sleep(0)


async def outcome(door: Door, config: RuntimeConfig) -> str:
    """Ask for one request that takes 30 tokens of 100."""
    try:
        ticket = await door.admit(wanted(config))
    except GatewayError as error:
        return error.code
    ticket.commit(USED, duration_s=0.1)
    return "admitted"


async def outcomes_of(number: int, doors: list[Door], config: RuntimeConfig) -> Counter[str]:
    """Ask at all doors in turn, a few requests at a time."""
    at_once = asyncio.Semaphore(10)

    async def one(index: int) -> str:
        async with at_once:
            return await outcome(doors[index % len(doors)], config)

    return Counter(await asyncio.gather(*(one(index) for index in range(number))))


async def used(url: str) -> tuple[int, int]:
    """Return the requests and tokens that the hint service has counted for the tenant."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/usage/gold") as answer:
        told = await answer.json()
        return told["requests"], told["input_tokens"] + told["output_tokens"]


async def test_two_gateways_at_two_replicas_share_a_limit_exactly_and_what_was_used_is_counted(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    config = policy()
    async with (
        service(redis_server, config, tmp_path, number=2) as running,
        gateways([replica.url for replica in running], config) as doors,
    ):
        decided_here = metrics.LOCAL._value.get()
        outcomes = await outcomes_of(100, doors, config)
        assert metrics.LOCAL._value.get() == decided_here
        assert outcomes == {"admitted": 60, "requests_per_minute": 40}
        assert [await door.drain(within_s=5) for door in doors] == [0, 0]
        async with asyncio.timeout(30):
            while await used(running[0].url) != (60, 60 * 30):  # noqa: ASYNC110 - replicas write once a second
                await asyncio.sleep(0.1)


async def test_a_reservation_is_committed_once_at_whichever_replica(redis_server: RedisServer, tmp_path: Path) -> None:
    config = policy()
    async with service(redis_server, config, tmp_path, number=2) as running:
        one, other = (QuotaClient(replica.url) for replica in running)
        admitted = await one.admit(AdmitRequest(tenant="gold", max_tokens=100))
        done = CommitRequest(reservation=admitted.reservation, output_tokens=30)
        assert await other.commit(done) == CommitReply(committed=True, returned_tokens=70)
        assert await one.commit(done) == CommitReply(committed=False)
        for client in (one, other):
            client.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("failure_mode", "expected"),
    [("Local", {"admitted", "requests_per_minute"}), ("Allow", {"admitted"}), ("Deny", {"quota_unavailable"})],
)
async def test_without_redis_the_failure_mode_decides_at_the_hint_service(
    redis_server: RedisServer, tmp_path: Path, failure_mode: str, expected: set[str]
) -> None:
    config = policy(failure_mode=failure_mode)
    async with (
        service(redis_server, config, tmp_path) as (replica,),
        gateways([replica.url] * 2, config) as doors,
    ):
        redis_server.stop()
        await asyncio.gather(*(outcome(door, config) for door in doors))
        outcomes = await outcomes_of(100, doors, config)
        assert set(outcomes) == expected
        assert outcomes["admitted"] <= (100 if failure_mode == "Allow" else 60)
        assert [door.quotas for door in doors] == ["Shared", "Shared"]


async def test_a_hint_service_that_goes_and_comes_back(redis_server: RedisServer, tmp_path: Path) -> None:
    config = policy()
    async with (
        service(redis_server, config, tmp_path) as (replica,),
        gateways([replica.url] * 2, config) as doors,
    ):
        (door, _) = doors
        kept = await door.admit(wanted(config))
        replica.process.kill()
        await replica.process.wait()
        outcomes = Counter([await outcome(door, config) for _ in range(40)])
        # Its share is half of 60, of which one was taken before.
        assert outcomes == {"admitted": 29, "requests_per_minute": 11}
        assert door.quotas == "Local"
        kept.commit(USED, duration_s=1.0)
        again = await asyncio.create_subprocess_exec(*replica_arguments(replica, redis_server, tmp_path))
        try:
            # The commit that waited finds out that it is back.
            await eventually(lambda: door.quotas == "Shared", timeout_s=20)
            assert await door.drain(within_s=10) == 0
            await shared(replica.url)
            assert await outcome(doors[1], config) == "admitted"
        finally:
            again.kill()
            await again.wait()


def replica_arguments(replica: ReplicaProcess, redis: RedisServer, directory: Path) -> list[str]:
    """Return the command of a replica at the same address."""
    ports = [str(port) for port in (replica.url.rpartition(":")[2], replica.fast_url.rpartition(":")[2])]
    return [
        *(sys.executable, "-m", "tokenflow_hintsvc", "serve", "--runtime-file", str(directory / "runtime.json")),
        *("--redis-url", redis.url, "--replica", "replica-1", "--port", ports[0], "--fast-port", ports[1]),
        *("--metrics-port", "0", "--tenants-dir", str(directory / "tenants"), "--log-level", "Error"),
    ]
