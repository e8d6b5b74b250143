"""How many batches of nodes one replica takes in, and how much memory replicas hold after all loads."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from e2e.bench.figures import Figure
from e2e.bench.hintsvc.batches import HTTP_ROWS, TCP_ROWS
from e2e.bench.hintsvc.load import CORES, finish, load, tokens
from e2e.bench.hintsvc.site import Site
from e2e.bench.proc import memory_bytes, processor_s

LEAST_PER_SECOND: Final = 2000
MAX_FOLLOWER_BYTES: Final = 150_000_000
MAX_LEADER_BYTES: Final = 300_000_000
_NODES: Final = 300
_CONNECTIONS: Final = 64
_GRACE_S: Final = 30.0


async def ingest(site: Site, *, seconds: float) -> AsyncIterator[Figure]:
    """Deliver batches to one replica as fast as it answers."""
    replica = site.follower
    site.isolate(replica)
    file = tokens(site.whole, _NODES)
    share = len(CORES)

    async def one(index: int, core: int) -> Any:
        first, number = index * _NODES // share, _NODES // share
        arguments = (replica.api_port, file, first, number, _CONNECTIONS // share, 0, seconds)
        async with load("telemetry", *arguments, core=core) as process:
            return await finish(process, what="telemetry", timeout_s=seconds + _GRACE_S)

    before, began = processor_s(replica.program.pid), time.monotonic()
    reports = await asyncio.gather(*(one(index, core) for index, core in enumerate(CORES)))
    took = (processor_s(replica.program.pid) - before) / (time.monotonic() - began)
    statuses: Counter[str] = sum(map(Counter, reports), Counter())
    rate = statuses["200"] / seconds
    refused = {status: number for status, number in statuses.items() if status != "200"}
    yield Figure(
        name="Node batches taken in by one replica",
        value=f"{rate:,.0f}/s; {sum(refused.values())} refused",
        goal=f">= {LEAST_PER_SECOND:,}/s",
        met=rate >= LEAST_PER_SECOND and not refused,
        how=f"{TCP_ROWS} TCP rows, {HTTP_ROWS} HTTP rows and GPUs each, of {_NODES} nodes with a token of their own,"
        f" closed loop of {_CONNECTIONS} connections, {took:.0%} of a core"
        + (f"; refused by status: {refused}" if refused else ""),
    )


def memory(site: Site) -> Iterator[Figure]:
    """Look at the memory of both replicas."""
    for name, replica, most in (
        ("a follower", site.follower, MAX_FOLLOWER_BYTES),
        ("the leader", site.leader, MAX_LEADER_BYTES),
    ):
        resident = memory_bytes(replica.program.pid, "VmRSS")
        yield Figure(
            name=f"Resident memory of {name}",
            value=f"{resident / 1e6:.0f} MB",
            goal=f"< {most / 1e6:.0f} MB",
            met=resident < most,
            how="VmRSS after all loads above",
        )
