"""Replicas as processes of their own, with a real Redis."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.hintsvc.support import RedisServer, replicas, runtime

pytestmark = pytest.mark.redis


@pytest.fixture
def runtime_file(tmp_path: Path) -> Path:
    file = tmp_path / "runtime.json"
    file.write_text(runtime().model_dump_json())
    return file


async def test_every_replica_serves_the_leaders_hint(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(2, redis=redis_server, file=runtime_file) as running:
        for replica in running:
            status, answer = await replica.get("/v1/hints/gold")
            assert status == 200
            # No telemetry yet: the policy's fallback, never zero.
            assert answer["hint"]["tokens_per_second"] == 20.0
            assert answer["hint"]["source"] == "Fallback"


async def test_another_replica_leads_when_the_leader_dies(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(2, redis=redis_server, file=runtime_file) as running:
        states = [(await replica.get("/readyz"))[1]["leading"] for replica in running]
        assert sorted(states) == [False, True]
        leader, follower = (running[states.index(True)], running[states.index(False)])
        leader.process.kill()
        await leader.process.wait()
        assert (await follower.get("/v1/hints/gold"))[0] == 200
        await follower.becomes("/readyz", lambda answer: bool(answer["leading"]), timeout_s=30)
        await follower.becomes("/readyz", lambda answer: answer["snapshot"]["ageSeconds"] < 1.0, timeout_s=30)


async def test_a_leader_that_leaves_hands_over_at_once(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(2, redis=redis_server, file=runtime_file) as running:
        states = [(await replica.get("/readyz"))[1]["leading"] for replica in running]
        leader, follower = (running[states.index(True)], running[states.index(False)])
        leader.process.send_signal(signal.SIGTERM)
        assert await follower.becomes("/readyz", lambda answer: bool(answer["leading"]), timeout_s=10) < 2.0
        assert await leader.process.wait() == 0


async def test_a_replica_leaves_without_an_error_to_those_who_ask_it(
    redis_server: RedisServer, runtime_file: Path
) -> None:
    async with replicas(1, redis=redis_server, file=runtime_file) as (replica,), aiohttp.ClientSession() as session:
        statuses, closing = [], False
        replica.process.send_signal(signal.SIGTERM)
        # One connection, which rests between two requests, as a poller's does.
        while not closing:
            async with session.get(f"{replica.url}/v1/hints/gold") as hint:
                statuses.append(hint.status)
                closing = hint.headers.get("Connection") == "close"
            await asyncio.sleep(0.05)
        status, answer = await replica.get("/readyz")
        assert (status, answer["ready"], answer["draining"]) == (503, False, True)
        assert set(statuses) == {200}
        assert await replica.process.wait() == 0


async def test_a_connection_that_rests_while_a_replica_leaves_may_ask_once_more(
    redis_server: RedisServer, runtime_file: Path
) -> None:
    async with replicas(1, redis=redis_server, file=runtime_file) as (replica,):
        port = int(replica.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = b"GET /v1/hints/gold HTTP/1.1\r\nHost: r\r\n\r\n"
        writer.write(request)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        replica.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            while await connects(port):  # noqa: ASYNC110 - another process' port
                await asyncio.sleep(0.05)
            writer.write(request)
            rest = await reader.read()
        writer.close()
        assert b"HTTP/1.1 200 OK" in rest
        assert b"Connection: close" in rest
        assert await replica.process.wait() == 0


async def connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


async def test_probes_answer_before_there_is_a_config(redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    async with replicas(1, redis=redis_server, file=file, ready=False) as (replica,):
        await replica.becomes("/healthz", lambda answer: answer["status"] == "ok", timeout_s=60)
        status, answer = await replica.get("/readyz")
        assert (status, answer["ready"], answer["config"]["generation"]) == (503, False, None)
        status, problem = await replica.get("/v1/hints/gold")
        assert (status, problem["code"]) == (503, "NoConfig")
        file.write_text(runtime().model_dump_json())
        await replica.becomes("/readyz", lambda answer: bool(answer["ready"]), timeout_s=30)


async def test_hints_are_served_without_redis_and_recover_with_it(
    redis_server: RedisServer, runtime_file: Path
) -> None:
    async with replicas(1, redis=redis_server, file=runtime_file) as (replica,):
        redis_server.stop()
        await replica.becomes("/readyz", lambda answer: answer["snapshot"]["ageSeconds"] > 2.0, timeout_s=30)
        status, answer = await replica.get("/v1/hints/gold")
        assert status == 200
        assert answer["hint"]["tokens_per_second"] > 0
        assert answer["hint"]["source"] == "Fallback"
        redis_server.start()
        await replica.becomes("/readyz", lambda answer: answer["snapshot"]["ageSeconds"] < 1.0, timeout_s=30)


async def test_strangers_are_told_what_to_do(redis_server: RedisServer, runtime_file: Path) -> None:
    async with replicas(1, redis=redis_server, file=runtime_file) as (replica,):
        for path, status, code in (
            ("/v1/hints/nobody", 403, "TenantNotReadable"),
            ("/v1/cluster", 401, "NotAuthenticated"),
            ("/v1/config", 401, "NotAuthenticated"),
        ):
            answered, problem = await replica.get(path)
            assert (answered, problem["code"]) == (status, code)
            assert problem["remedy"]
