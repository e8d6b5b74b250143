"""Runs the loads on cores that the servers leave alone, and puts together what they report."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.batches import reporter_of
from e2e.bench.hintsvc.cluster import Cluster, Replica
from e2e.bench.hintsvc.policy import TENANTS, api_key
from e2e.bench.programs import LOOPBACK, pinned
from tokenflow_api.runtime import Role
from tokenflow_api.telemetry import Reporter

PATH: Final = f"/v1/hints/{TENANTS[0]}"
CREDENTIAL: Final = f"Bearer {api_key(TENANTS[0])}"
CORES: Final = (2, 3)
"""For the loads. What is measured has core 0, the other replica core 1."""
SHARED_CORE: Final = 2
"""Redis and the nodes that report run here."""
_GRACE_S: Final = 30.0
_MAX_CONNECTIONS: Final = 64
_ENDLESS_S: Final = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Latencies:
    """Times in milliseconds."""

    p50: float
    p99: float
    p999: float
    most: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f}, p99 {self.p99:.2f}, p99.9 {self.p999:.2f} ms"


def latencies(values: Sequence[float], *, per_ms: float = 1.0) -> Latencies:
    """Return the percentiles of ``values``, by the nearest rank.

    Args:
        values: of which a millisecond has ``per_ms``.
        per_ms: 1000 for microseconds.

    Raises:
        BenchError: there are none.
    """
    if not values:
        raise BenchError("nothing was answered: there is no percentile to report")
    ordered = sorted(values)

    def at(permille: int) -> float:
        return ordered[-(-permille * len(ordered) // 1000) - 1] / per_ms

    return Latencies(p50=at(500), p99=at(990), p999=at(999), most=at(1000))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reads:
    """What an open loop met."""

    latencies: Latencies
    answered: int
    failed: int


@asynccontextmanager
async def load(name: str, *arguments: object, core: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m e2e.bench.hintsvc.loads.<name>`` until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(*pinned(core), sys.executable, "-m", f"e2e.bench.hintsvc.loads.{name}", *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 28,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def finish(process: asyncio.subprocess.Process, *, what: str, timeout_s: float) -> Any:
    """Wait for a load, and return what it printed last.

    Raises:
        BenchError: it failed, or took too long.
    """
    try:
        async with asyncio.timeout(timeout_s):
            words, _ = await process.communicate()
    except TimeoutError as error:
        raise BenchError(f"the load {what} was not done after {timeout_s:.0f} s") from error
    if process.returncode:
        raise BenchError(f"the load {what} failed ({process.returncode}): see above")
    return json.loads(words.splitlines()[-1])


async def open_loop(port: int, *, rate: float, connections: int, seconds: float) -> Reads:
    """Read hints at random times, from a core that nothing else has; return what was met after the warm-up."""
    arguments = (port, PATH, CREDENTIAL, connections, rate, seconds)
    async with load("reads", *arguments, core=CORES[-1]) as process:
        report = await finish(process, what="reads", timeout_s=seconds + _GRACE_S)
    statuses = Counter(report["statuses"])
    return Reads(
        latencies=latencies(report["latencies_us"], per_ms=1000),
        answered=statuses["200"],
        failed=statuses.total() - statuses["200"] + report["unanswered"],
    )


async def storm(port: int, *, clients: int) -> tuple[list[int], int]:
    """Let clients connect at once; return the microseconds to their answers, and how many had none."""
    async with load("storm", port, PATH, CREDENTIAL, clients, core=SHARED_CORE) as process:
        report = await finish(process, what="storm", timeout_s=_GRACE_S)
    return report["latencies_us"], report["lost"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """What a closed loop met."""

    per_second: float
    failed: int


async def closed_loop(port: int, *, connections: int, seconds: float, path: str = PATH) -> Closed:
    """Let wrk read as fast as it is answered.

    Raises:
        BenchError: wrk is not installed, or failed.
    """
    if not shutil.which("wrk"):
        raise BenchError("wrk is not installed: run 'apt-get install wrk'")
    cores = ",".join(str(core % (os.cpu_count() or 1)) for core in CORES)
    process = await asyncio.create_subprocess_exec(
        *("taskset", "--cpu-list", cores, "wrk", "--threads", str(len(CORES)), "--connections", str(connections)),
        *("--duration", f"{seconds:g}s", "--header", f"Authorization: {CREDENTIAL}"),
        f"http://{LOOPBACK}:{port}{path}",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds + _GRACE_S):
            words = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", words)
    if process.returncode or not rate:
        raise BenchError(f"wrk failed ({process.returncode}): {words[-300:]}")
    return Closed(per_second=float(rate[1]), failed=failures(words))


def failures(words: str) -> int:
    """Return how many of wrk's requests were refused, broken off or not answered in two seconds."""
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", words)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", words)
    return (int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0)


@asynccontextmanager
async def telemetry(
    whole: Cluster, replica: Replica, *, first: int, nodes: int, rate: float, core: int | None = None
) -> AsyncIterator[None]:
    """Have nodes report to a replica until the block is left.

    Args:
        whole: the cluster of the replica.
        replica: takes the batches.
        first: number of the first node.
        nodes: that report.
        rate: batches per second of all of them together.
        core: that the load runs on; any by default.
    """
    connections = min(nodes, _MAX_CONNECTIONS)
    file = tokens(whole, first + nodes)
    arguments = (replica.api_port, file, first, nodes, connections, rate, _ENDLESS_S)
    async with load("telemetry", *arguments, core=core):
        yield


def tokens(whole: Cluster, nodes: int) -> Path:
    """Write a token for each node, and return the file."""
    file = whole.directory / f"tokens-{nodes}.json"
    if not file.exists():
        file.write_text(json.dumps([_token(whole, node) for node in range(nodes)]))
    return file


def _token(whole: Cluster, node: int) -> str:
    """Return a token that is bound to who reports by it: to a gateway's pod, or to an agent's node."""
    reporter, name = reporter_of(node)
    if reporter is Reporter.GATEWAY:
        return whole.issuer.token(Role.GATEWAY, pod=name, node="bench")
    return whole.issuer.token(Role.AGENT, pod=f"agent-{node}", node=name)
