"""A fuzzer against the OpenAPI document, over a real replica: it finds nothing."""

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.hintsvc.support import RedisServer, replicas, runtime
from tests.serving.issuer import ISSUER, Issuer
from tokenflow_api.runtime import Grant, Role

pytestmark = pytest.mark.redis

HERE = Path(__file__).parent
EXAMPLES = "30"
PLENTY = {"requestsPerSecondPerIP": 100_000, "requestsPerSecondPerKey": 100_000}
STREAM = "/v1/hints/stream"
"""It never ends by itself, which is more than the fuzzer's patience."""


async def fuzz(url: str, token: str, *options: str, directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"),
        *(f"{url}/openapi.json", "--checks", "all", "--max-examples", EXAMPLES, "--generation-deterministic"),
        *("--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--suppress-health-check", "all"),
        *("--header", f"Authorization: Bearer {token}", "--request-timeout", "30", "--no-color", *options),
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")},
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]


async def test_the_fuzzer_finds_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    issuer = Issuer()
    (tmp_path / "jwks.json").write_text(json.dumps((await issuer.fetch()).document))
    grants = [Grant(namespace="default", service_account="all", role=role) for role in Role]
    config = runtime(security=PLENTY).model_copy(update={"grants": grants})
    (tmp_path / "runtime.json").write_text(config.model_dump_json())
    options = ("--token-keys", str(tmp_path / "jwks.json"), "--token-issuer", ISSUER)
    token = issuer.token(account="all")
    async with replicas(1, redis=redis_server, file=tmp_path / "runtime.json", options=options) as (replica,):
        await fuzz(replica.url, token, "--exclude-path", STREAM, directory=tmp_path)
        # The same document holds for the other listener, which serves the hints alone.
        await fuzz(
            replica.url, token, "--url", replica.fast_url, "--include-path", "/v1/hints/{tenant}", directory=tmp_path
        )
        await replica.becomes("/readyz", lambda answer: bool(answer["ready"]), timeout_s=30)


@pytest.mark.parametrize("port", ["api", "fast"])
async def test_the_stream_is_as_documented(redis_server: RedisServer, tmp_path: Path, port: str) -> None:
    (tmp_path / "runtime.json").write_text(runtime(security=PLENTY).model_dump_json())
    async with (
        replicas(1, redis=redis_server, file=tmp_path / "runtime.json") as (replica,),
        aiohttp.ClientSession(base_url=replica.url if port == "api" else replica.fast_url) as session,
    ):
        for last in ("", "1-1", "nonsense", "9" * 100, "1-" + "9" * 30, "-", "💧", "0-0\t"):
            async with session.get(STREAM, headers={"Last-Event-ID": last}) as answer:
                assert (answer.status, answer.content_type) == (200, "text/event-stream")
                async with asyncio.timeout(30):
                    assert (await answer.content.readline()).startswith((b"event: ", b": "))
        for credential, status in (("Bearer nobody", 401), ("Basic eDp5", 401), ("Bearer " + "x" * 8000, 401)):
            async with session.get(STREAM, headers={"Authorization": credential}) as answer:
                problem = await answer.json(content_type="application/problem+json")
                assert (answer.status, problem["code"]) == (status, "NotAuthenticated")
