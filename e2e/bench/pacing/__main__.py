"""``python -m e2e.bench.pacing``: measures what pacing does for readers, and what it costs.

Each run is kept as a line of JSON in the folder of results; a run that is there is not made again, so that a
measurement that was cut off goes on where it was. ``python -m e2e.bench.pacing.report`` makes the page and the report
of them. It needs root, nginx, haproxy, redis-server, four cores and some quiet on the machine; LiteLLM is installed
into an environment of its own. Exit codes: 0 when all was measured, 1 when something failed, 2 for a wrong command
line.
"""

import argparse
import asyncio
import resource
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.pacing import capacity, chaos, clean, fairness, peers
from e2e.bench.pacing.arms import ARMS, PACED, PASS_THROUGH, Arm
from e2e.bench.pacing.engine import Engine, replay
from e2e.bench.pacing.links import Extent, cells, over_links
from e2e.bench.pacing.results import Results
from e2e.bench.pacing.scenarios import SCENARIOS, Scenario
from e2e.commands import CommandError
from e2e.link.apply import LinkError
from e2e.link.traces import TraceError, recorded

PARTS: Final = ("links", "clean", "capacity", "fairness", "chaos")
LANES: Final = 2
"""Sets of arms over links that are measured at once: together they take less than one core."""
_DESCRIPTORS: Final = 16_384
_USUAL: Final = Extent()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """How much is measured.

    Attributes:
        seeds: of the runs.
        arms: that are compared over links.
        scenarios: the links.
        extent: of a run over links.
        lanes: sets of arms at once.
        peers: whether all proxies of others take part.
        clean_s: seconds of a round on the clean link.
        streams: that the gateway's capacity is measured with.
        capacity_s: seconds for which they run.
        chaos_streams: that break when a part is killed.
        fair_s: seconds for which tenants share a link.
    """

    seeds: Sequence[int] = range(1, 11)
    arms: Sequence[Arm] = ARMS
    scenarios: Sequence[Scenario] = SCENARIOS
    extent: Extent = _USUAL
    lanes: int = LANES
    peers: bool = True
    clean_s: float = 5.0
    streams: int = capacity.STREAMS
    capacity_s: float = 8.0
    chaos_streams: int = chaos.STREAMS
    fair_s: float = 90.0


FULL: Final = Measurement()
QUICK: Final = Measurement(
    seeds=(1,),
    arms=(PASS_THROUGH, PACED),
    scenarios=[scenario for scenario in SCENARIOS if scenario.name == "thin"],
    extent=Extent(arrive_s=2, watched_s=4),
    lanes=1,
    peers=False,
    clean_s=1.0,
    streams=50,
    capacity_s=4.0,
    fair_s=5.0,
)
QUICK_PARTS: Final = ("links", "clean", "capacity")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A measurement on its way.

    Attributes:
        extent: how much is measured.
        results: folder of the runs.
        place: directory for the programs' files.
        endpoint: a real upstream for the part over links; ``None`` is the engine that replays.
        trace: rates that stand for those of the cellular link.
    """

    extent: Measurement
    results: Path
    place: Path
    endpoint: Engine | None
    trace: Sequence[float]

    async def measure(self, parts: Collection[str]) -> None:
        """Measure parts, in their order.

        Raises:
            BenchError: a part failed.
            CommandError: a program is not installed, or this is not root.
            LinkError: a link cannot be made.
        """
        known = {
            "links": self._links,
            "clean": self._clean,
            "capacity": self._capacity,
            "fairness": self._fairness,
            "chaos": self._chaos,
        }
        for part in PARTS:
            if part in parts:
                results = Results(self.results / f"{part}.jsonl")
                results.begin({"TokenFlow": version("tokenflow-operator"), **peers.versions(every=self.extent.peers)})
                await known[part](results)

    async def _links(self, results: Results) -> None:
        runs = [
            (scenario, seed)
            for seed in self.extent.seeds
            for scenario in self.extent.scenarios
            if not results.has(scenario.name, seed)
        ]
        with self._engine() as engine:
            lanes = range(self.extent.lanes)
            await asyncio.gather(*(self._lane(results, engine, lane, runs[lane :: len(lanes)]) for lane in lanes))

    async def _lane(self, results: Results, engine: Engine, lane: int, runs: Sequence[tuple[Scenario, int]]) -> None:
        if not runs:
            return
        async with cells(self.place, engine, arms=self.extent.arms, lane=lane) as site:
            await over_links(results, site, engine, runs=runs, extent=self.extent.extent, trace=self.trace)

    async def _clean(self, results: Results) -> None:
        with replay(self.place, *clean.STEADY, core=clean.ENGINE_CORE) as engine:
            async with clean.contenders(self.place, engine, peers=self.extent.peers) as rivals:
                await clean.on_clean_link(results, rivals, seeds=self.extent.seeds, seconds=self.extent.clean_s)

    async def _capacity(self, results: Results) -> None:
        with replay(self.place, *capacity.STEADY, core=capacity.ENGINE_CORE) as engine:
            async with capacity.carriers(self.place, engine) as subjects:
                await capacity.at_capacity(
                    results,
                    subjects,
                    seeds=self.extent.seeds,
                    streams=self.extent.streams,
                    seconds=self.extent.capacity_s,
                )

    async def _fairness(self, results: Results) -> None:
        with replay(self.place) as engine:
            async with fairness.sharers(self.place, engine) as site:
                await fairness.shared(results, site, seeds=self.extent.seeds, seconds=self.extent.fair_s)

    async def _chaos(self, results: Results) -> None:
        await chaos.under_chaos(results, self.place, streams=self.extent.chaos_streams)

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        if self.endpoint:
            yield self.endpoint
            return
        with replay(self.place) as engine:
            yield engine


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.pacing", description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be given again")
    parser.add_argument("--quick", action="store_true", help="measure briefly: for trying out, not for reporting")
    parser.add_argument("--fresh", action="store_true", help="forget the runs that are there, of the parts asked for")
    parser.add_argument("--upstream", help="base URL of a real endpoint, without /v1, for the links")
    parser.add_argument("--model", default="llama-3", help="that is asked of it")
    parser.add_argument("--trace", type=Path, help="recording of a rate, CSV or mahimahi, for the cellular link")
    arguments = parser.parse_args()
    parts = arguments.only or (QUICK_PARTS if arguments.quick else PARTS)
    endpoint = Engine(url=arguments.upstream, model=arguments.model, stamped=False) if arguments.upstream else None
    place = Path(tempfile.mkdtemp(prefix="tf-pacing-"))
    if arguments.fresh:
        for part in parts:
            (arguments.results / f"{part}.jsonl").unlink(missing_ok=True)
    try:
        # Each stream is a descriptor on both sides; the programs inherit the limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
        bench = Bench(
            extent=QUICK if arguments.quick else FULL,
            results=arguments.results,
            place=place,
            endpoint=endpoint,
            trace=recorded(arguments.trace, step_s=0.5) if arguments.trace else (),
        )
        asyncio.run(bench.measure(parts))
    except (BenchError, CommandError, LinkError, TraceError, ValueError) as error:
        print(f"e2e.bench.pacing: {error} (logs: {place})", file=sys.stderr)
        return 1
    shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
