"""The gateway as the process that it is."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from e2e.bench.proc import free_port
from e2e.upstream import application as upstream_application
from tests.gateway.support import served
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig

COMMAND = (sys.executable, "-m", "tokenflow_gateway")


@asynccontextmanager
async def gateway(
    directory: Path, *, upstream: str, authorities: str = ""
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run a gateway whose hint service is out of reach."""
    spec = PacingPolicySpec.model_validate(
        {
            "tenants": [{"name": "gold"}],
            "gateway": {"upstreams": [{"name": "llama", "url": upstream}]},
            "security": {"caBundle": authorities},
        }
    )
    file = directory / "runtime.json"
    config = RuntimeConfig(namespace="default", name="demo", uid="u", generation=4, spec=spec)
    file.write_text(config.model_dump_json())
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "--runtime-file", str(file), "--hint-url", f"http://127.0.0.1:{free_port()}"),
        *("--port", str(port), "--metrics-port", str(free_port()), "--log-level", "Error"),
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready(session: aiohttp.ClientSession, url: str) -> dict[str, object]:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.ok:
                        details: dict[str, object] = await answer.json()
                        return details
            except aiohttp.ClientConnectorError:
                pass
            await asyncio.sleep(0.05)


async def test_it_serves_without_a_hint_service_and_lets_its_streams_end(tmp_path: Path) -> None:
    ask = {"model": "llama-3", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 40}
    async with (
        served(upstream_application(tokens_per_second=20)) as upstream,
        gateway(tmp_path, upstream=upstream) as (url, process),
        aiohttp.ClientSession() as session,
    ):
        details = await ready(session, url)
        assert details["ready"]
        assert details["hints"] == {"connected": False, "ageSeconds": None}
        async with session.post(f"{url}/v1/chat/completions", json=ask) as answer:
            # No hint: the policy's fallback.
            assert answer.headers["x-tokenflow-rate"] == "20.0"
            await answer.content.readany()
            process.send_signal(signal.SIGTERM)
            body = await answer.read()
        assert body.endswith(b"data: [DONE]\n\n")
        async with asyncio.timeout(60):
            assert await process.wait() == 0


async def test_it_serves_with_a_bundle_that_holds_no_certificate(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, upstream="http://127.0.0.1:1", authorities="none") as (url, _),
        aiohttp.ClientSession() as session,
    ):
        assert (await ready(session, url))["ready"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["--version"], 0), (["--port", "x"], 2), (["--tls-dir", "/nowhere"], 78)]
)
def test_the_command_line(arguments: list[str], code: int) -> None:
    assert subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=60, check=False).returncode == code
