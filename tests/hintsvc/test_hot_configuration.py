"""An edit of the policy, as replicas that are processes of their own take it up."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.hintsvc.support import RedisServer, ReplicaProcess, replicas, runtime

pytestmark = pytest.mark.redis

REPLICAS = 3


class Policy:
    """The mounted runtime config, as the kubelet swaps it: whole."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "runtime.json"
        self.edit(1)

    def edit(self, generation: int, **spec: object) -> None:
        unbounded = {"requestsPerSecondPerIP": 100_000}
        self.write(runtime(generation=generation, security=unbounded, **spec).model_dump_json())

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.file)


async def acknowledged(redis: Redis, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while True:
            told = [json.loads(value) for value in await redis.hvals("tf:{policy-1}:replicas")]
            if len(told) == REPLICAS and holds(told):
                return told
            await asyncio.sleep(0.02)


async def test_every_replica_takes_up_an_edit_and_says_so(redis_server: RedisServer, tmp_path: Path) -> None:
    policy = Policy(tmp_path)
    async with (
        replicas(REPLICAS, redis=redis_server, file=policy.file) as running,
        Redis.from_url(redis_server.url) as redis,
    ):
        policy.edit(2, tenants=[{"name": "gold"}, {"name": "silver"}])
        await acknowledged(redis, lambda told: {entry["generation"] for entry in told} == {2})
        for replica in running:
            await replica.becomes("/v1/hints/gold", lambda answer: answer["generation"] == 2, timeout_s=30.0)
            assert (await replica.get("/v1/hints/silver"))[0] == 200


async def test_a_bad_config_is_refused_everywhere_with_its_reason(redis_server: RedisServer, tmp_path: Path) -> None:
    policy = Policy(tmp_path)
    async with (
        replicas(REPLICAS, redis=redis_server, file=policy.file) as running,
        Redis.from_url(redis_server.url) as redis,
    ):
        bad = json.loads(runtime(generation=2).model_dump_json())
        bad["spec"]["pacing"]["minTokensPerSecond"] = 0
        policy.write(json.dumps(bad))
        told = await acknowledged(redis, lambda told: all(entry["error"] for entry in told))
        assert {entry["generation"] for entry in told} == {1}
        for replica in running:
            _, ready = await replica.get("/readyz")
            assert ready["ready"]
            assert "spec.pacing.minTokensPerSecond" in ready["config"]["error"]
            assert (await replica.get("/v1/hints/gold"))[1]["generation"] == 1
        policy.edit(3)
        await acknowledged(redis, lambda told: all((e["generation"], e["error"]) == (3, "") for e in told))


async def test_no_reader_sees_an_older_config_or_half_of_one(redis_server: RedisServer, tmp_path: Path) -> None:
    policy = Policy(tmp_path)
    last = 12
    async with replicas(REPLICAS, redis=redis_server, file=policy.file) as running:

        async def read(replica: ReplicaProcess) -> list[tuple[int, int]]:
            seen = []
            while not seen or seen[-1][0] < last:
                _, answer = await replica.get("/v1/hints/gold")
                seen.append((answer["generation"], answer["ttl_ms"]))
            return seen

        async def edit() -> None:
            for number in range(2, last + 1):
                policy.edit(number, pacing={"hintTTL": f"{1000 + number}ms"})
                # Longer than the replicas wait between two looks, for some of the edits.
                await asyncio.sleep(0.1 * (number % 3) * 3)

        async with asyncio.timeout(60):
            *histories, _ = await asyncio.gather(*(read(replica) for replica in running), edit())
    for history in histories:
        assert history == sorted(history)
        assert all(ttl_ms == (1000 + number if number > 1 else 1000) for number, ttl_ms in history)
