"""What real clients see of an engine, and of a gateway before it: each plays all of its scenarios at both, once."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from e2e.bench.proc import free_port
from e2e.bench.programs import Program, running
from e2e.clients import install
from e2e.cluster.settings import cache
from e2e.upstream.script import REFUSALS
from e2e.upstream.scripted import Engine
from tokenflow_api.hints import Hint, PathState, Snapshot, Source
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig

BATCH = 4
KEY = "tf-gold-0123456789"
_RATE = 200.0
_PACED_RATE = 100.0
# What fails stands apart, so that no breaker takes the rest away.
_UPSTREAMS = (("chat", "tools", "json", "endless"), ("slow",), ("breaks",), *((model,) for model in REFUSALS))
_PLAY_S = 90.0
_READY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one client saw at one place; ``missing`` says why it could not be run."""

    results: dict[str, Any]
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Played:
    """What all clients saw, and how often they left the engines in the middle of an answer."""

    direct: dict[str, Seen]
    paced: dict[str, Seen]
    left_direct: Counter[str]
    left_paced: Counter[str]


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = cache() / "clients"
    commands: dict[str, list[str] | str] = {"python": [sys.executable, "-m", "e2e.clients.openai_python"]}
    for name, find in (("node", install.node), ("langchain", install.langchain)):
        try:
            commands[name] = find(folder)
        except install.MissingError as error:
            commands[name] = str(error)
    return asyncio.run(_play(commands, tmp_path_factory.mktemp("gateway")))


async def _play(commands: dict[str, list[str] | str], directory: Path) -> Played:
    direct = Engine(tokens_per_second=_RATE)
    behind = {models: Engine(tokens_per_second=_RATE, models=models) for models in _UPSTREAMS}
    async with AsyncExitStack() as stack:
        direct_url = await stack.enter_async_context(_served(direct.application()))
        engines = {
            models: await stack.enter_async_context(_served(engine.application())) for models, engine in behind.items()
        }
        hints = web.Application()
        hints.router.add_get("/v1/hints/stream", _hints)
        hints_url = await stack.enter_async_context(_served(hints))
        gateway = _gateway(directory, engines=engines, hints=hints_url)
        gateway.program.start()
        stack.enter_context(running(gateway.program))
        await _paces(gateway)
        clients = [(name, url) for name in commands for url in (direct_url, gateway.url)]
        seen = dict(zip(clients, await asyncio.gather(*(_seen(commands[n], url) for n, url in clients)), strict=True))
        async with asyncio.timeout(30):
            while _left(behind.values()) != direct.left:  # noqa: ASYNC110 - the gateway is another process
                await asyncio.sleep(0.01)
    return Played(
        direct={name: seen[name, direct_url] for name in commands},
        paced={name: seen[name, gateway.url] for name in commands},
        left_direct=direct.left,
        left_paced=_left(behind.values()),
    )


def _left(engines: Iterable[Engine]) -> Counter[str]:
    return sum((engine.left for engine in engines), Counter())


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _hints(request: web.Request) -> web.StreamResponse:
    """Tell a path that is batched, so that the clients see merged events."""
    hint = Hint(
        tenant="gold",
        tokens_per_second=_PACED_RATE,
        batch_size=BATCH,
        batch_delay_ms=100,
        health=1.0,
        state=PathState.CONGESTED,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
    )
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for version in range(1, 1000):
        snapshot = Snapshot(
            term=1, version=version, generation=1, at_unix_ms=0, ttl_ms=60_000, health=0.5, hints=[hint]
        )
        await response.write(f"event: snapshot\ndata: {snapshot.model_dump_json(by_alias=True)}\n\n".encode())
        await asyncio.sleep(1.0)
    return response


@dataclass(frozen=True, kw_only=True)
class _Gateway:
    program: Program
    url: str


def _gateway(directory: Path, *, engines: Mapping[tuple[str, ...], str], hints: str) -> _Gateway:
    upstreams = [{"name": models[0], "url": url, "models": list(models)} for models, url in engines.items()]
    spec = {
        "tenants": [
            {
                "name": "gold",
                "apiKeysSecretRef": {"name": "gold-keys"},
                "tokensPerMinute": 10_000_000,
                "requestsPerMinute": 100_000,
                "burstTokens": 1_000_000,
            }
        ],
        "failureMode": "Allow",
        # Nor do retries open a breaker.
        "gateway": {"retries": 0, "upstreams": upstreams},
    }
    runtime = RuntimeConfig(
        namespace="default", name="demo", uid="u", generation=1, spec=PacingPolicySpec.model_validate(spec)
    )
    (directory / "runtime.json").write_text(runtime.model_dump_json(by_alias=True))
    (directory / "tenants" / "gold").mkdir(parents=True)
    (directory / "tenants" / "gold" / "key").write_text(KEY)
    (directory / "token").write_text("token")
    port = free_port()
    options = {
        "--runtime-file": directory / "runtime.json",
        "--hint-url": hints,
        "--token-file": directory / "token",
        "--tenants-dir": directory / "tenants",
        "--port": port,
        "--metrics-port": free_port(),
    }
    words = [str(word) for option in options.items() for word in option]
    program = Program(command=[sys.executable, "-m", "tokenflow_gateway", *words], log=directory / "gateway.log")
    return _Gateway(program=program, url=f"http://127.0.0.1:{port}")


async def _paces(gateway: _Gateway) -> None:
    """Wait until the gateway goes by the hints."""
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(timeout=5.0) as client, asyncio.timeout(_READY_S):
        while True:
            try:
                answer = await client.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)
                if answer.headers.get("x-tokenflow-batch") == str(BATCH):
                    return
            except httpx.ConnectError:
                _ = gateway.program.pid
            await asyncio.sleep(0.05)


async def _seen(command: Sequence[str] | str, url: str) -> Seen:
    if isinstance(command, str):
        return Seen(results={}, missing=command)
    process = await asyncio.create_subprocess_exec(
        *command, url, KEY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_PLAY_S):
            printed, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, said.decode()[-2000:]
    return Seen(results=json.loads(printed))
