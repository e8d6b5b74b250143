"""The arms over links that are thin, lossy, shared or changing: all of them at once, each over a link of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from e2e.bench.pacing.arms import Arm, Subject, arm_site, room
from e2e.bench.pacing.engine import Engine
from e2e.bench.pacing.peers import nginx
from e2e.bench.pacing.reader import Plan
from e2e.bench.pacing.reading import read
from e2e.bench.pacing.results import Results, Run, check_admitted, measured, timeline
from e2e.bench.pacing.scenarios import Scenario
from e2e.bench.proc import free_port, processor_s
from e2e.link.emulated import Emulated, emulated
from e2e.link.observed import Sent
from e2e.link.path import Phase

TENANT: Final = "gold"
LANE_SIZE: Final = 12
_FIRST_NUMBER: Final = 170
_NETWORKS: Final = 128
_BLOCK: Final = bytes(1 << 16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """An arm, and the link that it is read over."""

    subject: Subject
    path: Emulated


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What the readers of all arms do.

    Attributes:
        plan: of one reader; server and source are still to be filled in.
        phases: of each link.
        seed: of what chance decides on it.
        network: number of the network that readers come from: one that no earlier run came from.
        bulk: whether a download shares the link.
        since_s: tokens that arrive earlier do not count for the tenants' shares.
    """

    plan: Plan
    phases: tuple[Phase, ...]
    seed: int
    network: int
    bulk: bool = False
    since_s: float = 0.0


@asynccontextmanager
async def cells(place: Path, engine: Engine, *, arms: Sequence[Arm], lane: int = 0) -> AsyncIterator[list[Cell]]:
    """Run arms, and nginx beside them, each with a link of its own, until the block is left.

    Args:
        place: directory for their files.
        engine: the upstream.
        arms: what is compared.
        lane: number of these cells among those that run at once.

    Raises:
        BenchError: a part does not start.
        CommandError: a part is not installed, or this is not root.
        LinkError: a link cannot be made.
    """
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(arm_site(arm, room(place, f"{lane}-{number}"), upstream=engine.url))
            for number, arm in enumerate(arms)
        ]
        subjects.append(stack.enter_context(nginx(room(place, f"{lane}-nginx"), upstream=engine.url)))
        yield stack.enter_context(linked(subjects, lane=lane))


@contextmanager
def linked(subjects: Sequence[Subject], *, lane: int = 0) -> Iterator[list[Cell]]:
    """Make a link to each subject until the block is left.

    Raises:
        CommandError: this is not root.
        LinkError: a link cannot be made.
    """
    with ExitStack() as stack:
        numbers = range(_FIRST_NUMBER + lane * LANE_SIZE, _FIRST_NUMBER + (lane + 1) * LANE_SIZE)
        yield [
            Cell(subject=subject, path=stack.enter_context(emulated(f"tf-link-{os.getpid()}-{number}", number=number)))
            for number, subject in zip(numbers, subjects, strict=False)
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How long each run is.

    Attributes:
        arrive_s: seconds in which streams are asked for.
        watched_s: seconds for which they are watched.
    """

    arrive_s: float = 8.0
    watched_s: float = 16.0


async def over_links(
    results: Results,
    site: Sequence[Cell],
    engine: Engine,
    *,
    runs: Sequence[tuple[Scenario, int]],
    extent: Extent,
    trace: Sequence[float] = (),
) -> None:
    """Make runs, each a scenario with a seed, one after the other with all arms at once.

    Args:
        results: takes what was met.
        site: the arms and their links.
        engine: the upstream.
        runs: to be made.
        extent: how long each is.
        trace: rates that stand for the ones that walk.

    Raises:
        BenchError: a reader failed.
        LinkError: an emulator has ended.
    """
    for network, (scenario, seed) in enumerate(runs):
        asks = tuple(scenario.arrivals.asks(seconds=extent.arrive_s, seed=seed, tenants=(TENANT,)))
        load = Load(
            plan=Plan(servers=(), asks=asks, until_s=extent.watched_s, model=engine.model, stamped=engine.stamped),
            phases=scenario.link(seed, trace),
            seed=seed,
            network=network % _NETWORKS,
            bulk=scenario.bulk,
        )
        met = await asyncio.gather(*(over(cell, load) for cell in site))
        for cell, figures in zip(site, met, strict=True):
            results.add(Run(scenario=scenario.name, arm=cell.subject.name, seed=seed, figures=figures))
        print(f"{scenario.name}, seed {seed}: {_told(site, met)}", flush=True)


async def over(cell: Cell, load: Load) -> dict[str, Any]:
    """Read what a load asks for over one cell's link, and return the figures.

    Raises:
        BenchError: the reader failed, or a stream was refused.
        LinkError: the emulator has ended.
    """
    near = cell.path.near
    async with AsyncExitStack() as stack:
        bulk = (near, await stack.enter_async_context(_download(near))) if load.bulk else None
        plan = replace(load.plan, servers=((near, cell.subject.port),), source=cell.path.far(load.network), bulk=bulk)
        cell.path.begin(load.phases, seed=load.seed)
        before = processor_s(cell.subject.pid)
        streams = await read(plan, netns=cell.path.netns)
        processor = processor_s(cell.subject.pid) - before
        counted = cell.path.counted()
    check_admitted(streams, arm=cell.subject.name)
    met = measured(streams, until_s=plan.until_s, since_s=load.since_s)
    sent = counted.ports.get(cell.subject.port, Sent())
    return {
        **asdict(met),
        "processor_ms_per_1000_tokens": 1e6 * processor / max(1, met.tokens),
        "wire_per_token": sent.size / max(1, met.tokens),
        "retransmitted": sent.again / max(1, sent.segments),
        "lost": sum(counted.lost.values()) / max(1, counted.packets),
        "timeline": timeline(streams, plan.until_s),
    }


def _told(site: Sequence[Cell], met: Sequence[dict[str, Any]]) -> str:
    return "; ".join(
        f"{cell.subject.name} {figures['stall_ratio']:.3f} stalled, age p99 {figures['age_p99'] or 0:.2f} s,"
        f" {figures['wire_per_token']:.0f} B/token"
        for cell, figures in zip(site, met, strict=True)
    )


@asynccontextmanager
async def _download(address: str) -> AsyncIterator[int]:
    """Send without end to whoever connects, until the block is left; yield the port."""

    async def send(_: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while True:
                sink.write(_BLOCK)
                await sink.drain()
        except ConnectionError:
            sink.close()

    port = free_port()
    server = await asyncio.start_server(send, address, port)
    try:
        yield port
    finally:
        server.close()
