"""How tenants share a thin link: evenly when they weigh the same, and by their weights when not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.pacing.arms import PACED, PASS_THROUGH, TENANTS, Arm, arm_site, room
from e2e.bench.pacing.engine import Engine
from e2e.bench.pacing.links import Cell, Load, linked, over
from e2e.bench.pacing.reader import Plan
from e2e.bench.pacing.results import Results, Run
from e2e.bench.pacing.workload import steady
from e2e.link.path import Conditions, Phase
from tokenflow_client._command.measures import jain

WEIGHTS: Final = (4, 2, 1)
EQUAL: Final = "equal tenants"
WEIGHTED: Final = "tenants that weigh 4, 2 and 1"
_STREAMS: Final = 12
_ENDLESS: Final = 4000
_RAMP_S: Final = 1.0
_SETTLE: Final = 0.5
"""Part of a run after which shares are counted, of all arms alike: the link's buffer alone holds eleven seconds of what
was sent before anybody could know of the link."""
_LINK: Final = (Phase(seconds=0, conditions=Conditions(kbit=48, delay_ms=20, buffer_kib=64)),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """A way to share a link: an arm, the tenants' weights, and the name of the scenario."""

    scenario: str
    arm: Arm
    weights: tuple[int, ...]


_LANE: Final = 2
"""None of those of the part over links: the two may be measured at once."""
SHARINGS: Final = (
    Sharing(scenario=EQUAL, arm=PASS_THROUGH, weights=(1, 1, 1)),
    Sharing(scenario=EQUAL, arm=PACED, weights=(1, 1, 1)),
    Sharing(scenario=WEIGHTED, arm=PASS_THROUGH, weights=WEIGHTS),
    Sharing(scenario=WEIGHTED, arm=PACED, weights=WEIGHTS),
)


@asynccontextmanager
async def sharers(place: Path, engine: Engine) -> AsyncIterator[list[Cell]]:
    """Run a gateway for each of ``SHARINGS``, with a link of its own, until the block is left.

    Raises:
        BenchError: one does not start.
        CommandError: this is not root.
        LinkError: a link cannot be made.
    """
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(
                arm_site(one.arm, room(place, f"fair-{number}"), upstream=engine.url, weights=one.weights)
            )
            for number, one in enumerate(SHARINGS)
        ]
        yield stack.enter_context(linked(subjects, lane=_LANE))


async def shared(results: Results, site: Sequence[Cell], *, seeds: Sequence[int], seconds: float) -> None:
    """Let all tenants read at once, as many streams each, and note the tokens that each got.

    Raises:
        BenchError: a reader failed.
        LinkError: an emulator has ended.
    """
    for network, seed in enumerate(seeds):
        if results.has(WEIGHTED, seed):
            continue
        asks = tuple(steady(streams=_STREAMS, tokens=_ENDLESS, over_s=_RAMP_S, seed=seed, tenants=TENANTS))
        load = Load(
            plan=Plan(servers=(), asks=asks, until_s=seconds),
            phases=_LINK,
            seed=seed,
            network=network,
            since_s=_SETTLE * seconds,
        )
        met = await asyncio.gather(*(over(cell, load) for cell in site))
        for sharing, figures in zip(SHARINGS, met, strict=True):
            shares = [
                figures["shares"][tenant] / weight for tenant, weight in zip(TENANTS, sharing.weights, strict=True)
            ]
            figures["jain"] = jain(shares)
            figures["off_weight"] = off_weight(
                [figures["shares"][tenant] for tenant in TENANTS], weights=sharing.weights
            )
            results.add(Run(scenario=sharing.scenario, arm=sharing.arm.name, seed=seed, figures=figures))
            print(f"{sharing.scenario}, seed {seed}: {sharing.arm.name} {figures['shares']}", flush=True)


def off_weight(tokens: Sequence[int], *, weights: Sequence[int]) -> float:
    """Return how far the worst tenant is from its share by weight, as a share of that."""
    whole = sum(tokens) or 1
    return max(abs(got / whole / (weight / sum(weights)) - 1) for got, weight in zip(tokens, weights, strict=True))
