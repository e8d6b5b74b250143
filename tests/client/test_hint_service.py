"""The follower against the real hint service."""

import asyncio
from pathlib import Path

import pytest

from tests.hintsvc.support import RedisServer, replicas, runtime
from tokenflow_client import HintFollower

pytestmark = pytest.mark.redis


async def test_hints_are_followed_and_outlive_the_service(redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    file.write_text(runtime().model_dump_json())
    async with replicas(1, redis=redis_server, file=file) as (replica,):
        follower = HintFollower(replica.url)
        following = asyncio.create_task(follower.run())
        async with asyncio.timeout(10):
            while follower.snapshot is None:  # noqa: ASYNC110 - it comes from another process
                await asyncio.sleep(0.01)
        hint = follower.hint("gold", "llama/192.0.2.0/24", fallback=7.0)
        assert hint
        assert hint.tokens_per_second == 20.0
        replica.process.kill()
        async with asyncio.timeout(10):
            while follower.connected:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        assert follower.hint("gold", "llama/192.0.2.0/24", fallback=20.0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
