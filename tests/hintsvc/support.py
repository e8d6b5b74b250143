"""Real programs for the tests of this folder: a Redis, and replicas of the hint service."""

import asyncio
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.bench.proc import free_port
from tests.hintsvc.decide.support import gateway_batch
from tokenflow_api.codec import encode
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.telemetry import Delivery, Telemetry


@dataclass
class RedisServer:
    """A Redis that can be stopped and started again at the same address."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
        pytest.fail("redis-server did not start in 30 s")

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


def runtime(*, generation: int = 1, **spec: object) -> RuntimeConfig:
    base: dict[str, object] = {
        "tenants": [{"name": "gold"}],
        "gateway": {"upstreams": [{"name": "llama", "url": "http://llama"}]},
    }
    return RuntimeConfig(
        namespace="default",
        name="demo",
        uid="policy-1",
        generation=generation,
        spec=PacingPolicySpec.model_validate(base | spec),
    )


@dataclass
class ReplicaProcess:
    """A replica as a process of its own."""

    url: str
    process: asyncio.subprocess.Process
    fast_url: str = ""
    trust: ssl.SSLContext | None = None

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, ssl=self.trust or True) as answer:
            return answer.status, await answer.json(content_type=None)

    async def becomes(self, path: str, holds: Callable[[dict[str, Any]], bool], *, timeout_s: float) -> float:
        """Ask again and again until the answer holds; return the seconds that it took."""
        started = time.monotonic()
        answer: object = None
        while time.monotonic() - started < timeout_s:
            try:
                _, answer = await self.get(path)
            except aiohttp.ClientError as error:
                answer = error
            if isinstance(answer, dict) and holds(answer):
                return time.monotonic() - started
            await asyncio.sleep(0.05)
        pytest.fail(f"{path} did not become as wanted in {timeout_s} s: {answer}")


@asynccontextmanager
async def replicas(
    number: int,
    *,
    redis: RedisServer,
    file: Path,
    options: Sequence[str] = (),
    trust: ssl.SSLContext | None = None,
    ready: bool = True,
) -> AsyncIterator[list[ReplicaProcess]]:
    """Run that many replicas; those that still live are ended.

    Args:
        number: of replicas.
        redis: that they share.
        file: their runtime config.
        options: of the command line, besides.
        trust: with which they are asked by https; ``None`` asks by http.
        ready: whether to wait until they serve.
    """
    running = []
    for index in range(number):
        port, fast_port = free_port(), free_port()
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "tokenflow_hintsvc",
                "serve",
                "--runtime-file",
                str(file),
                "--redis-url",
                redis.url,
            ),
            *(
                "--replica",
                f"replica-{index}",
                "--port",
                str(port),
                "--fast-port",
                str(fast_port),
                "--metrics-port",
                str(free_port()),
            ),
            *("--tenants-dir", str(file.parent / "tenants"), "--log-level", "Error"),
            *options,
        )
        scheme = "https" if trust else "http"
        running.append(
            ReplicaProcess(f"{scheme}://127.0.0.1:{port}", process, f"{scheme}://127.0.0.1:{fast_port}", trust)
        )
    try:
        for replica in running if ready else ():
            await replica.becomes("/readyz", lambda answer: bool(answer["ready"]), timeout_s=60)
        yield running
    finally:
        for replica in running:
            if replica.process.returncode is None:
                replica.process.kill()
            await replica.process.wait()


async def tell_of_streams(redis: RedisServer, *, tenants: Sequence[str]) -> None:
    """Put what a gateway tells of streams of these tenants into the policy's Redis, as of now."""
    connection = Connection(redis.url, policy_uid=runtime().uid)
    now_ms = time.time_ns() // 1_000_000
    deliveries = [
        Delivery(
            reporter=tenant,
            boot_id="b",
            sequence=1,
            batch=StoredBatch(
                at_unix_ms=now_ms, bounded=True, data=encode(gateway_batch(tenant=tenant, second=now_ms // 1000))
            ),
            current_ms=60_000,
        )
        for tenant in tenants
    ]
    await Telemetry(connection).ingest(deliveries)
    await connection.close()
