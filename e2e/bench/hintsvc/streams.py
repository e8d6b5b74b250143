"""How soon subscribers get a snapshot, and what that costs the replica that sends it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.hintsvc.load import CORES, finish, latencies, load
from e2e.bench.hintsvc.site import NODES, Site
from e2e.bench.proc import processor_s

SUBSCRIBERS: Final = 5000
MAX_P99_MS: Final = 100.0
MAX_SHARE: Final = 0.30
_READY_S: Final = 90.0
_GRACE_S: Final = 30.0


async def streams(site: Site, *, subscribers: int, seconds: float) -> AsyncIterator[Figure]:
    """Have subscribers follow one replica while nodes report.

    Raises:
        BenchError: not all of them get a first snapshot.
    """
    replica = site.follower
    site.isolate(replica)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(site.reporting(to=[site.leader]))
        share = subscribers // len(CORES)
        followers = [
            await stack.enter_async_context(load("subscribers", replica.fast_port, share, seconds, core=core))
            for core in CORES
        ]
        await asyncio.gather(*map(_ready, followers))
        before, began = processor_s(replica.program.pid), time.monotonic()
        for follower in followers:
            if follower.stdin:
                follower.stdin.write(b"go\n")
        await asyncio.sleep(seconds)
        took = (processor_s(replica.program.pid) - before) / (time.monotonic() - began)
        reports = await asyncio.gather(*(finish(one, what="subscribers", timeout_s=_GRACE_S) for one in followers))
    found = latencies([one for report in reports for one in report["latencies_ms"]])
    delivered = sum(len(report["latencies_ms"]) for report in reports)
    due = sum(report["snapshots"] * share for report in reports)
    broken = sum(report["broken"] for report in reports)
    how = (
        f"{subscribers:,} subscribers of one follower over {seconds:g} s, by the stamp that the leader puts on a"
        f" snapshot once it has decided; {NODES} nodes report to the leader each second; {delivered:,} of {due:,}"
        f" deliveries, the others were overtaken by a newer snapshot; {broken} streams broke"
    )
    yield Figure(
        name=f"Time from publishing to each of {subscribers:,} subscribers",
        value=str(found),
        goal=f"p99 <= {MAX_P99_MS:g} ms",
        met=found.p99 <= MAX_P99_MS and not broken,
        how=how,
    )
    yield Figure(
        name=f"Processor time of streaming to {subscribers:,} subscribers",
        value=f"{took:.1%} of a core",
        goal=f"< {MAX_SHARE:.0%}",
        met=took < MAX_SHARE,
        how="the whole replica, meanwhile",
    )


async def _ready(follower: asyncio.subprocess.Process) -> None:
    if follower.stdout is None:
        raise BenchError("the subscribers cannot be heard")
    async with asyncio.timeout(_READY_S):
        if await follower.stdout.readline() != b"ready\n":
            raise BenchError("not all subscribers got a first snapshot: see above")
