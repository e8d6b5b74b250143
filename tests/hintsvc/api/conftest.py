"""A replica that knows paths of two tenants, of which one has a key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.hintsvc.support import RedisServer, replicas, runtime, tell_of_streams

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
"""Asks a replica for a path, as the holder of a key or as nobody in particular."""

TENANTS = [{"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}}, {"name": "open"}]


@pytest.fixture
async def ask(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Ask]:
    (tmp_path / "tenants" / "gold").mkdir(parents=True)
    (tmp_path / "tenants" / "gold" / "first").write_text("gold-key")
    file = tmp_path / "runtime.json"
    file.write_text(runtime(tenants=TENANTS, telemetry={"staleAfter": "60s"}).model_dump_json())
    async with replicas(1, redis=redis_server, file=file) as (replica,), aiohttp.ClientSession() as session:

        async def get(path: str, *, key: str = "") -> tuple[int, dict[str, Any]]:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with session.get(replica.url + path, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        await tell_of_streams(redis_server, tenants=["gold", "open"])
        await replica.becomes("/v1/health", lambda answer: len(answer["paths"]) == 1, timeout_s=30)
        yield get
