"""What a gateway costs on a clean link: time and processor, against proxies of others at equal load.

Each contender has core 0 to itself while it is measured; the engine has core 1 and the reader core 2. Redis and the
hint services have core 3. Streams are asked for in an open loop.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.site import pin
from e2e.bench.pacing.arms import PACED, PASS_THROUGH, Subject, arm_site, room
from e2e.bench.pacing.engine import Engine
from e2e.bench.pacing.peers import haproxy, litellm, nginx
from e2e.bench.pacing.reader import Plan
from e2e.bench.pacing.reading import read
from e2e.bench.pacing.results import Results, Run, measured
from e2e.bench.pacing.workload import Arrivals, steady
from e2e.bench.proc import processor_s
from e2e.bench.programs import LOOPBACK

SCENARIO: Final = "clean link"
DIRECT: Final = "direct"
STEADY: Final = ("--steady", "--tokens-per-second", "40", "--first-token-s", "0.02")
"""What the engine does for this part: no chance in it, so that what varies is the contender."""
MEASURED_CORE: Final = 0
ENGINE_CORE: Final = 1
READER_CORE: Final = 2
_TOKENS: Final = 20
_PER_SECOND: Final = 8.0
"""LiteLLM, the slowest, has less than half of its core to do at this load."""
_ENDS_S: Final = 1.5
_WARM_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """What is read from: a subject, or the engine itself."""

    name: str
    port: int
    subject: Subject | None = None


@asynccontextmanager
async def contenders(place: Path, engine: Engine, *, peers: bool = True) -> AsyncIterator[list[Contender]]:
    """Run our gateway and the proxies of others until the block is left.

    Raises:
        BenchError: one does not start.
        CommandError: one cannot be installed.
    """
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(arm_site(arm, room(place, f"clean-{number}"), upstream=engine.url))
            for number, arm in enumerate((PASS_THROUGH, PACED))
        ]
        for peer in (nginx, haproxy, litellm) if peers else (nginx,):
            subjects.append(stack.enter_context(peer(room(place, f"clean-{len(subjects)}"), upstream=engine.url)))
        for subject in subjects:
            pin(subject.pid, MEASURED_CORE)
        direct = Contender(name=DIRECT, port=int(engine.url.rpartition(":")[2]))
        yield [direct, *(Contender(name=subject.name, port=subject.port, subject=subject) for subject in subjects)]


async def _warm(rivals: Sequence[Contender]) -> None:
    """Let each contender pass one stream, as some load parts of themselves only then."""
    asks = tuple(steady(streams=1, tokens=_TOKENS, over_s=0, seed=1, tenants=("gold",)))
    for rival in rivals:
        await read(Plan(servers=((LOOPBACK, rival.port),), asks=asks, until_s=_WARM_S))


async def on_clean_link(results: Results, rivals: Sequence[Contender], *, seeds: Sequence[int], seconds: float) -> None:
    """Let each contender in turn pass the same streams, for each seed.

    Raises:
        BenchError: a stream did not come to its end.
    """
    await _warm(rivals)
    arrivals = Arrivals(per_second=_PER_SECOND, most_tokens=_TOKENS)
    for seed in seeds:
        if results.has(SCENARIO, seed):
            continue
        asks = tuple(arrivals.asks(seconds=seconds, seed=seed, tenants=("gold",)))
        for rival in rivals:
            plan = Plan(servers=((LOOPBACK, rival.port),), asks=asks, until_s=seconds + _ENDS_S)
            before = processor_s(rival.subject.pid) if rival.subject else 0.0
            streams = await read(plan, core=READER_CORE)
            processor = processor_s(rival.subject.pid) - before if rival.subject else 0.0
            met = measured(streams, until_s=plan.until_s)
            if met.whole < met.streams:
                broken = next(stream for stream in streams if not stream.done)
                raise BenchError(f"{rival.name}: {met.streams - met.whole} of {met.streams} broke: {broken.told}")
            costs = {"processor_ms_per_1000_tokens": 1e6 * processor / met.tokens}
            results.add(Run(scenario=SCENARIO, arm=rival.name, seed=seed, figures={**asdict(met), **costs}))
            print(
                f"{SCENARIO}, seed {seed}: {rival.name} first token p50 {1000 * met.ttft_p50:.2f},"
                f" p99 {1000 * met.ttft_p99:.2f} ms; {costs['processor_ms_per_1000_tokens']:.0f} ms per 1,000 tokens",
                flush=True,
            )
