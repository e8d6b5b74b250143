"""The follower and the client against the real hint service."""

import asyncio
from pathlib import Path

import pytest

from tests.client.hint_service import eventually
from tests.hintsvc.support import RedisServer, replicas, runtime
from tokenflow_api.api_keys import new_key
from tokenflow_client import HintFollower, State, TokenFlow

pytestmark = pytest.mark.redis


async def test_hints_are_followed_and_outlive_the_service(redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    file.write_text(runtime().model_dump_json())
    async with replicas(1, redis=redis_server, file=file) as (replica,):
        follower = HintFollower(replica.url)
        following = asyncio.create_task(follower.run())
        async with asyncio.timeout(30):
            while follower.snapshot is None:  # noqa: ASYNC110 - it comes from another process
                await asyncio.sleep(0.01)
        hint = follower.hint("gold", "llama/192.0.2.0/24", fallback=7.0)
        assert hint
        assert hint.tokens_per_second == 20.0
        replica.process.kill()
        async with asyncio.timeout(30):
            while follower.connected:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        assert follower.hint("gold", "llama/192.0.2.0/24", fallback=20.0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_key_is_all_that_a_client_needs(redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    tenants = [{"name": name, "apiKeysSecretRef": {"name": f"{name}-keys"}} for name in ("gold", "silver")]
    file.write_text(runtime(tenants=tenants).model_dump_json())
    keys = {name: new_key() for name in ("gold", "silver")}
    for name, key in keys.items():
        directory = tmp_path / "tenants" / name
        directory.mkdir(parents=True)
        (directory / "laptop").write_text(key)
    async with replicas(1, redis=redis_server, file=file) as (replica,):
        async with TokenFlow(replica.fast_url, api_key=keys["silver"]) as tf:
            await eventually(lambda: tf.status.hint is not None)
            assert tf.status.hint
            assert tf.status.reason == "the hint service says NoTelemetry"
            assert tf.status.hint.tenant == "silver"
        async with TokenFlow(replica.url, api_key="wrong") as tf:
            await eventually(lambda: tf.state is State.FALLBACK)
            assert "answered 401" in tf.status.reason
