"""How quick hint reads are: against peers, at a given load, and when all clients come back at once."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure, median_ratio
from e2e.bench.hintsvc.load import CREDENTIAL, PATH, closed_loop, latencies, open_loop, storm
from e2e.bench.hintsvc.peers import idiomatic_aiohttp, nginx
from e2e.bench.hintsvc.reader import get
from e2e.bench.hintsvc.site import MEASURED_CORE, NODES, Site
from e2e.bench.proc import processor_s
from e2e.bench.programs import running

CONNECTIONS: Final = 64
MANY_CONNECTIONS: Final = 1000
RATE: Final = 5000
MAX_P99_MS: Final = 2.0
MAX_STORM_P99_MS: Final = 200.0
LEAST_OF_NGINX: Final = 0.5
LEAST_OF_AIOHTTP: Final = 2.5
_STORM_ROUNDS: Final = 3
_NOTHING: Final = b"{}"
_BUSY_S: Final = 4.0
_ANSWER_S: Final = 2.0


@dataclass(kw_only=True, slots=True)
class Contender:
    """A server that answers hint reads.

    Attributes:
        name: of it.
        port: that it listens on.
        pid: of the process that answers.
        per_core: answers per second of processor time, by round.
        shares: of its core that it took, by round.
    """

    name: str
    port: int
    pid: int
    per_core: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    async def contend(self, *, seconds: float) -> None:
        """Answer for a round.

        Raises:
            BenchError: a read was not answered, or refused.
        """
        before = processor_s(self.pid)
        done = await closed_loop(self.port, connections=CONNECTIONS, seconds=seconds)
        share = (processor_s(self.pid) - before) / seconds
        if done.failed or not share:
            raise BenchError(f"{self.name}: {done.failed} reads failed in the closed loop")
        self.per_core.append(done.per_second / share)
        self.shares.append(share)


async def against_peers(site: Site, *, rounds: int, seconds: float) -> AsyncIterator[Figure]:
    """Compare closed loops over the same connections, each server on the same core, in turn."""
    replica = site.follower
    site.isolate(replica)
    answer = await get(replica.fast_port, PATH, authorization=CREDENTIAL, timeout_s=_ANSWER_S)
    async with AsyncExitStack() as stack:
        peers = []
        for name, peer in (
            ("nginx", nginx(site.whole.directory, answer.body)),
            ("aiohttp", idiomatic_aiohttp(site.whole.directory, answer.body)),
        ):
            stack.enter_context(running(peer.program))
            pid = peer.start(core=MEASURED_CORE)
            peers.append(Contender(name=name, port=peer.port, pid=pid))
        fast, api = (
            Contender(name=name, port=port, pid=replica.program.pid)
            for name, port in (("listener of hint reads", replica.fast_port), ("API", replica.api_port))
        )
        for _ in range(rounds):
            for contender in (fast, api, *peers):
                await contender.contend(seconds=seconds)
    by_nginx, by_aiohttp = peers
    yield _ratio(fast, by_nginx, least=LEAST_OF_NGINX)
    yield _ratio(fast, by_aiohttp, least=LEAST_OF_AIOHTTP)
    yield _ratio(api, by_aiohttp)


def _ratio(ours: Contender, peer: Contender, *, least: float | None = None) -> Figure:
    ratio = median_ratio(ours.per_core, peer.per_core)
    return Figure(
        name=f"Hint reads per core, {ours.name}, as a ratio to {peer.name}",
        value=str(ratio),
        goal="" if least is None else f">= {least:g}",
        met=None if least is None else ratio.value >= least,
        how=f"closed loop of {CONNECTIONS} connections, {len(ours.per_core)} rounds in turn on one core;"
        f" {_described(ours)}, {_described(peer)}",
    )


def _described(one: Contender) -> str:
    rate, share = statistics.median(one.per_core), statistics.median(one.shares)
    return f"{one.name} {rate:,.0f}/s per core at {share:.0%} of it"


async def at_given_load(site: Site, *, seconds: float) -> AsyncIterator[Figure]:
    """Read hints in an open loop while nodes report and the leader decides and learns; nginx tells the load's floor."""
    peer = nginx(site.whole.directory, _NOTHING)
    async with site.reporting(to=site.whole.replicas):
        for name, replica in (("follower", site.follower), ("leader", site.leader)):
            site.isolate(replica)
            before, began = processor_s(replica.program.pid), time.monotonic()
            reads = await open_loop(replica.fast_port, rate=RATE, connections=MANY_CONNECTIONS, seconds=seconds)
            share = (processor_s(replica.program.pid) - before) / (time.monotonic() - began)
            yield Figure(
                name=f"Hint reads at {RATE:,}/s over {MANY_CONNECTIONS:,} connections, {name}",
                value=f"{reads.latencies}; {reads.failed} failed",
                goal=f"p99 <= {MAX_P99_MS:g} ms",
                met=reads.latencies.p99 <= MAX_P99_MS and not reads.failed,
                how=f"open loop, Poisson, from the time at which each should have been sent, {reads.answered:,} reads;"
                f" {NODES} nodes report to it each second, and as many to the other replica;"
                f" {await site.forecaster()}; {share:.0%} of a core",
            )
        with running(peer.program):
            peer.start(core=MEASURED_CORE)
            reads = await open_loop(peer.port, rate=RATE, connections=MANY_CONNECTIONS, seconds=seconds)
            yield Figure(
                name=f"The same load on nginx, which only answers {len(_NOTHING)} bytes",
                value=f"{reads.latencies}; {reads.failed} failed",
                how="what of these times is the load's own and the machine's",
            )


async def storms(site: Site) -> AsyncIterator[Figure]:
    """Let clients connect at once while earlier ones stay busy."""
    replica = site.follower
    site.isolate(replica)
    times: list[int] = []
    lost = 0
    async with site.reporting(to=site.whole.replicas):
        for _ in range(_STORM_ROUNDS):
            busy = asyncio.create_task(
                open_loop(replica.fast_port, rate=RATE, connections=MANY_CONNECTIONS, seconds=_BUSY_S)
            )
            await asyncio.sleep(_BUSY_S / 2)
            met, missing = await storm(replica.fast_port, clients=MANY_CONNECTIONS)
            times += met
            lost += missing + (await busy).failed
    found = latencies(times, per_ms=1000)
    yield Figure(
        name=f"{MANY_CONNECTIONS:,} clients that connect at once",
        value=f"{found}; {lost} lost",
        goal=f"p99 <= {MAX_STORM_P99_MS:g} ms",
        met=found.p99 <= MAX_STORM_P99_MS and not lost,
        how=f"from connecting to the answer, {_STORM_ROUNDS} storms; {MANY_CONNECTIONS:,} earlier connections read"
        f" {RATE:,} hints/s meanwhile",
    )
