"""The state of the cluster, as the operator polls it."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from e2e.bench.hintsvc.cluster import cluster
from tests.hintsvc.support import RedisServer
from tokenflow_api.cluster import ClusterView
from tokenflow_api.runtime import Role

pytestmark = pytest.mark.redis


async def test_who_polls_the_state_is_told_of_what_changed_alone(redis_server: RedisServer, tmp_path: Path) -> None:
    async with cluster(tmp_path, redis=redis_server.url, replicas=1) as running:
        (replica,) = running.replicas
        operator, gateway = (
            {"Authorization": f"Bearer {running.issuer.token(role, pod='pod', node='node')}"}
            for role in (Role.OPERATOR, Role.GATEWAY)
        )
        root = f"http://127.0.0.1:{replica.api_port}/v1"
        async with aiohttp.ClientSession() as session:

            async def poll(tag: str) -> tuple[int, str, bytes]:
                async with session.get(f"{root}/cluster", headers=operator | {"If-None-Match": tag}) as answer:
                    return answer.status, answer.headers["ETag"], await answer.read()

            status, tag, body = await poll("")
            view = ClusterView.model_validate_json(body)
            assert (status, view.leader, [one.name for one in view.replicas]) == (200, "replica-0", ["replica-0"])
            assert ("gold", 0, 0) in [
                (used.tenant, used.requests_last_minute, used.tokens_last_minute) for used in view.usage
            ]
            async with asyncio.timeout(30):
                # The first rounds of a leader may still move something.
                while (known := await poll(tag))[0] != 304:
                    tag = known[1]
            assert known == (304, tag, b"")
            asked = {"tenant": "gold", "max_tokens": 10}
            async with session.post(f"{root}/admit", json=asked, headers=gateway) as admitted:
                assert admitted.status == 200
            async with asyncio.timeout(30):
                while (changed := await poll(tag))[0] != 200:  # noqa: ASYNC110 - another process' state
                    await asyncio.sleep(0.02)
            usage = {used.tenant: used for used in ClusterView.model_validate_json(changed[2]).usage}
            assert usage["gold"].requests_last_minute >= 1
